//go:build unix && race

package cmd

// withRace is whether what these tests build is to be built with the race detector,
// as they are themselves.
const withRace = true
