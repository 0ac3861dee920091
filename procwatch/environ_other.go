//go:build !linux

package procwatch

// Started: there is no way to another process's environment here.
func (ID) Started(string) (string, bool) { return "", false }

// Hidden is false here, where no environment can be read.
func (ID) Hidden() bool { return false }
