//go:build !linux

package procwatch

// Dir is known on Linux only.
func (ID) Dir() string { return "" }
