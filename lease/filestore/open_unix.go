//go:build unix

package filestore

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// openFile opens a lock file of the store for reading and writing (readOnly:
// reading), and creates it when create is set and it is missing.
//
// It opens without O_CREAT first: with fs.protected_regular even root gets
// EACCES for O_CREAT on somebody else's file in a sticky directory. What is
// missing is made with O_EXCL, so a file that appears in between is opened
// like any other and checked like any other. O_NOFOLLOW refuses a planted
// symbolic link. A planted FIFO opens for reading and writing without anybody at
// its other end, and with O_NONBLOCK for reading too; the check then refuses it.
func (s *Store) openFile(path string, create, readOnly bool) (*os.File, error) {
	flags := unix.O_RDWR | unix.O_NOFOLLOW | unix.O_NOCTTY | unix.O_CLOEXEC
	if readOnly {
		flags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOFOLLOW | unix.O_CLOEXEC
	}
	for {
		fd, err := open(path, flags, 0)
		if err == unix.ENOENT && create {
			exactly(func() { fd, err = open(path, flags|unix.O_CREAT|unix.O_EXCL, s.fileMode()) })
			if err == unix.EEXIST {
				continue // somebody else made it just now: open that one
			}
			if err == unix.ENOENT && s.makeDir(filepath.Dir(path)) == nil {
				continue // somebody removed the directory of the slots or of the line
			}
		}
		switch err {
		case nil:
		case unix.ELOOP:
			return nil, &fs.PathError{Op: "open", Path: path, Err: notOurs("is a symbolic link, which somebody else put there; remove it")}
		default:
			return nil, &fs.PathError{Op: "open", Path: path, Err: err}
		}
		if err := s.checkFile(fd); err != nil {
			unix.Close(fd)
			return nil, &fs.PathError{Op: "open", Path: path, Err: err}
		}
		return os.NewFile(uintptr(fd), path), nil
	}
}

// exactly runs make, which makes a file or a directory, without the caller's umask.
// That would shut out the rest of the group, or with 0277 ourselves. Mended after
// the file was made, somebody else would find it as it was before.
func exactly(make func()) {
	umask.Lock()
	defer umask.Unlock()
	defer unix.Umask(unix.Umask(0))
	make()
}

// umask is the process's only one, and what is changed in turn is put back in turn.
var umask sync.Mutex

// notOursError: something that no berth made is where a file of the store
// belongs.
type notOursError string

func (e notOursError) Error() string { return string(e) }

func notOurs(format string, args ...any) error {
	return notOursError(fmt.Sprintf(format, args...))
}

// checkFile refuses what cannot be a lock file of this store.
func (s *Store) checkFile(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return notOurs("is %s, not a regular file; remove it", kind(uint32(st.Mode)))
	case st.Nlink > 1:
		return notOurs("has %d names (hard links); a lock file must have one", st.Nlink)
	case !s.shared && st.Uid != s.uid:
		return notOurs("belongs to uid %d, the store to uid %d", st.Uid, s.uid)
	}
	return nil
}

func kind(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return "a directory"
	case unix.S_IFIFO:
		return "a FIFO"
	case unix.S_IFSOCK:
		return "a socket"
	case unix.S_IFLNK:
		return "a symbolic link"
	default:
		return "a device"
	}
}

// makeDir makes one directory of the store; that it is there already is fine
// when it is a real directory.
func (s *Store) makeDir(path string) error {
	mode := uint32(0o700)
	if s.shared {
		mode = 0o770
	}
	var err error
	exactly(func() { err = unix.Mkdir(path, mode) }) // its group is its parent's, by set-group-ID
	switch {
	case err == nil:
		return nil
	case err != unix.EEXIST:
		return &fs.PathError{Op: "mkdir", Path: path, Err: err}
	}
	return s.checkDir(path)
}

// checkDir refuses a pool's directory that is not one, or that people outside
// of the store could write in.
func (s *Store) checkDir(path string) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	var err error
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		err = fmt.Errorf("is %s, not a directory", notDir(uint32(st.Mode)))
	case st.Mode&0o002 != 0:
		err = fmt.Errorf("can be written by everybody (mode %04o)", st.Mode&0o7777)
	case !s.shared && st.Uid != s.uid:
		err = fmt.Errorf("belongs to uid %d, the store to uid %d", st.Uid, s.uid)
	default:
		return nil
	}
	return &fs.PathError{Op: "open", Path: path, Err: err}
}

func notDir(mode uint32) string {
	if mode&unix.S_IFMT == unix.S_IFREG {
		return "a file"
	}
	return kind(mode)
}

func open(path string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Open(path, flags, mode)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// tryLock takes an exclusive flock on f, and reports false when another open
// file holds one. A read-only descriptor is enough for that on Linux and BSD.
func tryLock(f *os.File) (bool, error) { return flockNB(f, unix.LOCK_EX) }

// lockedByAnother reports whether somebody holds f's exclusive lock. It asks
// with a shared one, so that several who ask at once do not see each other.
func lockedByAnother(f *os.File) (bool, error) {
	got, err := flockNB(f, unix.LOCK_SH)
	if got {
		_ = unix.Flock(int(f.Fd()), unix.LOCK_UN)
	}
	return !got, err
}

func flockNB(f *os.File, how int) (bool, error) {
	for {
		switch err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); err {
		case nil:
			return true, nil
		case unix.EINTR:
		case unix.EWOULDBLOCK:
			return false, nil
		default:
			return false, &fs.PathError{Op: "flock", Path: f.Name(), Err: err}
		}
	}
}

func unlock(f *os.File) { _ = unix.Flock(int(f.Fd()), unix.LOCK_UN) }

// sameFile reports whether path still leads to the open file f. After a lock
// is taken this is what tells a lock everybody sees from one on a file that
// was removed or replaced in between.
func sameFile(f *os.File, path string) bool {
	var a, b unix.Stat_t
	return unix.Fstat(int(f.Fd()), &a) == nil && unix.Lstat(path, &b) == nil && a.Dev == b.Dev && a.Ino == b.Ino
}
