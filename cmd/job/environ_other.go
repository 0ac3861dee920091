//go:build !linux

package job

// rawEnviron is nil: here Go has the only way to it.
func rawEnviron() []string { return nil }
