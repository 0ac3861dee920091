//go:build !linux

package procwatch

// User is not known here.
func (id ID) User() (uid int, ok bool) { return 0, false }
