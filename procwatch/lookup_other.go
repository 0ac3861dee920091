//go:build unix && !linux

package procwatch

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// mayExecute checks with our effective ids, like execve.
func mayExecute(path string) error {
	if err := unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS); errors.Is(err, syscall.EACCES) {
		return syscall.EACCES
	}
	return nil
}
