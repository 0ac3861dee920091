//go:build !linux

package procwatch

// Left is empty here: a descendant that has lost its parent cannot be found.
func (*Child) Left() []string { return nil }
