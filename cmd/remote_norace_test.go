//go:build unix && !race

package cmd

const withRace = false
