//go:build !linux

package procwatch

// Command is nil: to read it would take a run of ps on some systems.
func (id ID) Command() []string { return nil }
