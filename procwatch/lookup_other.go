//go:build unix && !linux

package procwatch

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// mayExecute asks with our effective ids, as execve will have them.
func mayExecute(path string) error {
	if err := unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS); errors.Is(err, syscall.EACCES) {
		return syscall.EACCES
	}
	return nil
}
