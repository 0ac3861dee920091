package procwatch

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mayExecute asks the kernel with our effective ids and capabilities, as execve
// will have them; it knows ACLs and noexec mounts. The library's Faccessat would
// guess from mode bits where a kernel (before 5.8) or a sandbox has no such call:
// there nothing is refused, and execve decides.
func mayExecute(path string) error {
	p, err := syscall.BytePtrFromString(path)
	if err != nil {
		return err
	}
	at := unix.AT_FDCWD
	_, _, no := syscall.Syscall6(unix.SYS_FACCESSAT2, uintptr(at), uintptr(unsafe.Pointer(p)), unix.X_OK, unix.AT_EACCESS, 0, 0)
	if no == syscall.EACCES {
		return no
	}
	return nil
}
