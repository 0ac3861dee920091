package procwatch

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mayExecute has the kernel check with our effective ids and capabilities, like execve; the
// kernel knows ACLs and noexec mounts. Where a kernel (before 5.8) or a sandbox lacks the
// call, the library's Faccessat would guess from mode bits; here nothing is refused then,
// and execve decides.
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
