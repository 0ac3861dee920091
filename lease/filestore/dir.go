//go:build unix

package filestore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// dir is an open directory of the store. Everything in the store is reached by the
// descriptor of the directory that contains it, and no link is followed: where others
// may write, a path can lead somewhere else from one moment to the next, also while we
// hold the pool's lock. What was checked when it was opened is what is used.
type dir struct {
	f    *os.File
	path string // for messages, and for nothing else
	st   unix.Stat_t
}

const dirFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC

// newDir takes over an open descriptor.
func newDir(fd int, path string) (*dir, error) {
	d := &dir{f: os.NewFile(uintptr(fd), path), path: path}
	if err := unix.Fstat(fd, &d.st); err != nil {
		d.close()
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return d, nil
}

func (d *dir) close() {
	if d != nil {
		d.f.Close()
	}
}

// withFD calls fn with the descriptor, and keeps it open until fn returns: once closed, its
// number may belong to another file.
func (d *dir) withFD(fn func(fd int) error) error {
	c, err := d.f.SyscallConn()
	if err != nil {
		return err
	}
	cerr := c.Control(func(fd uintptr) {
		for err = unix.EINTR; err == unix.EINTR; {
			err = fn(int(fd))
		}
	})
	if cerr != nil {
		return fs.ErrClosed
	}
	return err
}

func (d *dir) join(name string) string { return filepath.Join(d.path, name) }

func (d *dir) pathErr(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: d.join(name), Err: err}
}

// openat returns the bare error number.
func (d *dir) openat(name string, flags int, mode uint32) (fd int, err error) {
	err = d.withFD(func(at int) (err error) {
		fd, err = unix.Openat(at, name, flags, mode)
		return err
	})
	return fd, err
}

// stat does not follow a link. It returns the bare error number.
func (d *dir) stat(name string) (st unix.Stat_t, err error) {
	err = d.withFD(func(at int) error { return unix.Fstatat(at, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	return st, err
}

func (d *dir) mkdir(name string, mode uint32) (err error) {
	withoutUmask(func() { // set-group-ID gives it its parent's group
		err = d.withFD(func(at int) error { return unix.Mkdirat(at, name, mode) })
	})
	return d.pathErr("mkdir", name, err)
}

// remove removes a file.
func (d *dir) remove(name string) error {
	return d.pathErr("remove", name, d.withFD(func(at int) error { return unix.Unlinkat(at, name, 0) }))
}

func (d *dir) rmdir(name string) error {
	return d.pathErr("rmdir", name, d.withFD(func(at int) error { return unix.Unlinkat(at, name, unix.AT_REMOVEDIR) }))
}

// removeIf removes the file that l has locked. If another file has its name by now, the
// error is fs.ErrNotExist. If l is not locked, it removes any file of that name.
func (d *dir) removeIf(name string, l *fileLock) error {
	if l != nil && l.f != nil && !d.stillIs(name, l.f) {
		return d.pathErr("remove", name, fs.ErrNotExist)
	}
	return d.remove(name)
}

// rename renames a file within the directory, and replaces what has the new name.
func (d *dir) rename(from, to string) error {
	return d.pathErr("rename", from, d.withFD(func(at int) error { return unix.Renameat(at, from, at, to) }))
}

// maxNames bounds a listing. berth makes no more slots, tickets or pools than this.
const maxNames = 1 << 20

// names lists the directory without sorting.
func (d *dir) names() ([]string, error) {
	fd, err := d.openat(".", dirFlags, 0) // with an offset of its own
	if err != nil {
		return nil, d.pathErr("open", "", err)
	}
	f := os.NewFile(uintptr(fd), d.path)
	defer f.Close()
	found, err := f.Readdirnames(maxNames + 1)
	switch {
	case len(found) > maxNames:
		return nil, d.pathErr("list", "", fmt.Errorf("has more than %d entries, so others than berth's; remove those", maxNames))
	case err == io.EOF: // it is empty
		return nil, nil
	}
	return found, err
}

// leadsTo reports whether name is still the file or directory of st.
func (d *dir) leadsTo(name string, st *unix.Stat_t) bool {
	now, err := d.stat(name)
	return err == nil && now.Dev == st.Dev && now.Ino == st.Ino
}

// stillIs reports whether name in d is still the open file f. Only then does a lock that
// we have on f exclude others: the file may have been removed or replaced before we
// locked it.
func (d *dir) stillIs(name string, f *os.File) bool {
	var st unix.Stat_t
	return unix.Fstat(int(f.Fd()), &st) == nil && d.leadsTo(name, &st)
}

// openDir opens a directory of the store in d, and refuses one in which users without
// access to the store could write.
func (s *Store) openDir(d *dir, name string) (*dir, error) {
	fd, err := d.openat(name, dirFlags, 0)
	if st, serr := d.stat(name); err != nil && err != unix.ENOENT && serr == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		err = fmt.Errorf("is %s, not a directory", notDir(uint32(st.Mode)))
	}
	if err != nil {
		return nil, d.pathErr("open", name, err)
	}
	sub, err := newDir(fd, d.join(name))
	if err != nil {
		return nil, err
	}
	if err := s.checkDir(&sub.st); err != nil {
		sub.close()
		return nil, d.pathErr("open", name, err)
	}
	return sub, nil
}

func (s *Store) checkDir(st *unix.Stat_t) error {
	if st.Mode&0o002 != 0 {
		return fmt.Errorf("can be written by everybody (mode %04o)", st.Mode&0o7777)
	}
	return s.checkOwner(st)
}

// makeDir makes a directory of the store and opens it. It may exist already, if it is a
// real directory.
func (s *Store) makeDir(d *dir, name string) (*dir, error) {
	mode := uint32(0o700)
	if s.shared {
		mode = 0o770
	}
	err := d.mkdir(name, mode)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err == nil {
		if err := s.handOverDir(d, name); err != nil {
			return nil, d.pathErr("chown", name, err)
		}
	}
	return s.openDir(d, name)
}

// handOverDir gives a directory that we have just made to the store's owner, see handOver.
// No system call makes a directory and opens it, and the owner may replace it in
// between. So it is given away by its descriptor and not by its name, and only if it is
// what mkdir makes: an empty directory of ours, with that mode.
func (s *Store) handOverDir(d *dir, name string) error {
	if s.shared || s.uid == uint32(os.Geteuid()) {
		return nil
	}
	fd, err := d.openat(name, dirFlags, 0)
	if err != nil {
		return err
	}
	made, err := newDir(fd, d.join(name))
	if err != nil {
		return err
	}
	defer made.close()
	found, err := made.names()
	if err != nil {
		return err
	}
	st := &made.st
	if st.Uid != uint32(os.Geteuid()) || st.Mode&0o777 != 0o700 || st.Nlink > 2 || len(found) > 0 {
		return errors.New("was replaced while it was being made")
	}
	err = made.withFD(s.handOver)
	if err != nil && d.leadsTo(name, st) {
		_ = d.rmdir(name) // it would belong to us, and every later open would refuse it
	}
	return err
}

func notDir(mode uint32) string {
	if mode&unix.S_IFMT == unix.S_IFREG {
		return "a file"
	}
	return kind(mode)
}
