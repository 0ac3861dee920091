//go:build unix && !linux

package procwatch

// Frozen is false: there are no control groups.
func (id ID) Frozen() bool { return false }
