//go:build unix

package procwatch

import (
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// CloseInherited closes the descriptors from 3 on that this process was given through an exec,
// but not those named: locks and pipes of its caller would be held for as long as it runs. It is
// called before this process opens what its own children are to inherit. What Go has opened is
// close-on-exec, and stays open.
func CloseInherited(but ...int) {
	fds, err := os.ReadDir("/dev/fd")
	if err != nil {
		for fd := 3; fd < mostInherited; fd++ {
			closeIfInherited(fd, but)
		}
	}
	for _, e := range fds {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			closeIfInherited(fd, but)
		}
	}
}

// mostInherited bounds what is tried where the descriptors cannot be listed.
const mostInherited = 1024

func closeIfInherited(fd int, but []int) {
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 && !slices.Contains(but, fd) {
		_ = unix.Close(fd)
	}
}
