//go:build !linux

package procwatch

// Started: there is no way to another process's environment here.
func (ID) Started(string) (string, bool) { return "", false }
