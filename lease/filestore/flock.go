//go:build unix

package filestore

import (
	"io/fs"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// fileLock is a flock on a name in a directory. Each has a descriptor of its own, so two of
// them on one name exclude each other also within a process. It is opened when it is first used.
type fileLock struct {
	in   *dir
	name string
	f    *os.File // nil: not open, so not locked
}

// lockOf returns a lock that is not taken yet. It does not check what kind of file it is.
// O_NONBLOCK does not wait for the other end of a FIFO, and after locking, callers compare
// the file with one that was checked, or read it through a descriptor that was.
func (d *dir) lockOf(name string) *fileLock { return &fileLock{in: d, name: name} }

func (l *fileLock) open() error {
	if l.f != nil {
		return nil
	}
	fd, err := l.in.openat(l.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return l.in.pathErr("open", l.name, l.in.explainOpen(l.name, err))
	}
	l.f = os.NewFile(uintptr(fd), l.in.join(l.name))
	return nil
}

// TryLock returns false if it is locked already.
func (l *fileLock) TryLock() (bool, error)  { return l.try(unix.LOCK_EX) }
func (l *fileLock) TryRLock() (bool, error) { return l.try(unix.LOCK_SH) }

// RLock waits until it has the lock.
func (l *fileLock) RLock() error { return l.wait(unix.LOCK_SH) }

func (l *fileLock) try(how int) (bool, error) {
	if err := l.open(); err != nil {
		return false, err
	}
	ok, err := flockNB(l.f, how)
	if !ok {
		l.Unlock()
	}
	return ok, err
}

func (l *fileLock) wait(how int) error {
	if err := l.open(); err != nil {
		return err
	}
	err := flock(l.f, how)
	if err != nil {
		l.Unlock()
		return l.in.pathErr("flock", l.name, err)
	}
	return nil
}

// Unlock gives the lock back if we have it. No child has this descriptor, so closing it is
// enough even if the unlock fails.
func (l *fileLock) Unlock() {
	if l != nil && l.f != nil {
		_ = unlock(l.f)
		l.f.Close()
		l.f = nil
	}
}

// tryLock takes an exclusive flock on f, and returns false if another open
// file holds one. A read-only descriptor is enough for that on Linux and BSD.
func tryLock(f *os.File) (bool, error) { return flockNB(f, unix.LOCK_EX) }

// lockedByAnother reports whether f is locked exclusively. It tries a shared lock, so
// that several tries at once do not see each other.
func lockedByAnother(f *os.File) (bool, error) {
	got, err := flockNB(f, unix.LOCK_SH)
	if got {
		_ = unlock(f)
	}
	return !got, err
}

func flockNB(f *os.File, how int) (bool, error) {
	switch err := flock(f, how|unix.LOCK_NB); err {
	case nil:
		return true, nil
	case unix.EWOULDBLOCK:
		return false, nil
	default:
		return false, &fs.PathError{Op: "flock", Path: f.Name(), Err: err}
	}
}

func unlock(f *os.File) error { return flock(f, unix.LOCK_UN) }

func flock(f *os.File, how int) error {
	defer runtime.KeepAlive(f)
	for {
		if err := unix.Flock(int(f.Fd()), how); err != unix.EINTR {
			return err
		}
	}
}

func sameFile(a, b *os.File) bool {
	var x, y unix.Stat_t
	return unix.Fstat(int(a.Fd()), &x) == nil && unix.Fstat(int(b.Fd()), &y) == nil && x.Dev == y.Dev && x.Ino == y.Ino
}
