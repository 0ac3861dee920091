//go:build unix

package filestore

import (
	"fmt"
	"os"
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
func (s *Store) openFile(d *dir, name string, create, readOnly bool) (*os.File, error) {
	flags := unix.O_RDWR | unix.O_NOFOLLOW | unix.O_NOCTTY | unix.O_CLOEXEC
	if readOnly {
		flags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOFOLLOW | unix.O_CLOEXEC
	}
	for {
		fd, err := d.openat(name, flags, 0)
		if err == unix.ENOENT && create {
			exactly(func() { fd, err = d.openat(name, flags|unix.O_CREAT|unix.O_EXCL, s.fileMode()) })
			if err == unix.EEXIST {
				continue // somebody else made it just now: open that one
			}
		}
		if err == unix.ELOOP || err == unix.EMLINK {
			err = notOurs("is a symbolic link, which somebody else put there; remove it")
		}
		if err != nil {
			return nil, d.failed("open", name, err)
		}
		if err := s.checkFile(fd); err != nil {
			unix.Close(fd)
			return nil, d.failed("open", name, err)
		}
		return os.NewFile(uintptr(fd), d.sub(name)), nil
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

func open(path string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Open(path, flags, mode)
		if err != unix.EINTR {
			return fd, err
		}
	}
}
