//go:build unix

package handover

import (
	"os"

	"golang.org/x/sys/unix"
)

// pair are two connected sockets. Only the first is closed when this process starts a
// program.
func pair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, nil, err
	}
	return adopt(fds[0]), os.NewFile(uintptr(fds[1]), "back"), nil
}

// adopt makes a file of a socket, whose reads cost no thread, and which no child inherits.
func adopt(fd int) *os.File {
	unix.CloseOnExec(fd)
	_ = unix.SetNonblock(fd, true)
	return os.NewFile(uintptr(fd), "front")
}

// again is the same socket under another number, see adopt.
func again(fd int) (*os.File, error) {
	other, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	return adopt(other), nil
}

func closeFD(fd int) { _ = unix.Close(fd) }

func isSocket(fd int) bool {
	var st unix.Stat_t
	return fd > 2 && unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFSOCK
}

// detach begins a session with out as 1 and 2, or nothing there either.
func detach(out *os.File) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	if out == nil {
		out = null
	}
	if _, err := unix.Setsid(); err != nil {
		return err
	}
	for fd, file := range []*os.File{null, out, out} {
		if err := replace(int(file.Fd()), fd); err != nil {
			return err
		}
	}
	return nil
}

func endOfText(conn *os.File) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	_ = raw.Control(func(fd uintptr) { err = unix.Shutdown(int(fd), unix.SHUT_WR) })
	return err
}

// Unheard reports whether 1 was closed when this process started. The runtime has opened
// /dev/null in its place, for reading and writing. The >/dev/null of a shell is for writing
// only; a program that starts berth with a /dev/null of the first kind is taken for one that has
// closed it.
func Unheard() bool {
	out, err1 := os.Stdout.Stat()
	null, err2 := os.Stat(os.DevNull)
	flags, err3 := unix.FcntlInt(1, unix.F_GETFL, 0)
	return err1 == nil && err2 == nil && err3 == nil && os.SameFile(out, null) && flags&unix.O_ACCMODE == unix.O_RDWR
}
