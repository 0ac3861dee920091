//go:build unix

package detached

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func isOurs(fi fs.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && st.Uid == uint32(os.Geteuid())
}

// openLog opens a file of the user's for appending. With O_NONBLOCK a FIFO that nobody reads is
// an error; the command must not inherit that flag.
func openLog(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0o666)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

func tryLock(f *os.File) error { return lock(f, unix.LOCK_EX|unix.LOCK_NB) }

// shareLock shares the lock with others that wait, and returns when the job has let it go, or
// with now set ErrRuns at once.
func shareLock(f *os.File, now bool) error {
	if !now {
		return lock(f, unix.LOCK_SH)
	}
	err := lock(f, unix.LOCK_SH|unix.LOCK_NB)
	if err == unix.EWOULDBLOCK {
		return ErrRuns
	}
	return err
}

func lock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); err != unix.EINTR {
			return err
		}
	}
}
