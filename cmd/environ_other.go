//go:build !linux

package cmd

// rawEnviron: there is no way to it here but Go's.
func rawEnviron() []string { return nil }
