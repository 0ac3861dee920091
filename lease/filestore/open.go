//go:build unix

package filestore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// Files of the store are opened here, and refused if berth did not make them.

// purpose is what a file of the store is opened for.
type purpose int

const (
	reading     purpose = iota
	writing             // and reading
	creating            // writing; a missing file is created
	creatingNew         // writing; an existing file is fs.ErrExist
)

func (to purpose) creates() bool { return to == creating || to == creatingNew }

// openFile opens a file of the store.
//
// It opens without O_CREAT first: with fs.protected_regular even root gets
// EACCES for O_CREAT on another user's file in a sticky directory. A missing file
// is created with O_EXCL, so a file that appears in between is opened and checked
// like any other. O_NOFOLLOW refuses a planted symbolic link. A planted FIFO opens for
// reading and writing without a process at its other end, and with O_NONBLOCK for
// reading, too; the check then refuses it. Writing needs O_NONBLOCK as well: a file's
// owner may have a lease on it (F_SETLEASE), and an open would wait up to 45 s for that
// process, uninterruptible and with the pool's lock held.
func (s *Store) openFile(d *dir, name string, to purpose) (*os.File, error) {
	flags := unix.O_RDWR | unix.O_NONBLOCK | unix.O_NOFOLLOW | unix.O_NOCTTY | unix.O_CLOEXEC
	if to == reading {
		flags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOFOLLOW | unix.O_CLOEXEC
	}
	for {
		fd, err := -1, error(unix.ENOENT)
		if to != creatingNew {
			fd, err = d.openat(name, flags, 0)
		}
		if err == unix.ENOENT && to.creates() {
			withoutUmask(func() { fd, err = d.openat(name, flags|unix.O_CREAT|unix.O_EXCL, s.fileMode()) })
			if err == nil {
				err = s.handOverFile(d, name, fd)
			}
			if err == unix.EEXIST && to == creating {
				continue // another process created it just now: open that
			}
		}
		if err != nil {
			return nil, d.pathErr("open", name, d.explainOpen(name, err))
		}
		if err := s.checkFile(d, fd); err != nil {
			unix.Close(fd)
			return nil, d.pathErr("open", name, err)
		}
		// O_NONBLOCK is for the open alone. With it os.NewFile would hand the file to the
		// runtime's poller, and a child would inherit the flag.
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFL, 0)
		return os.NewFile(uintptr(fd), d.join(name)), nil
	}
}

// handOverFile gives a file that we have just made to the store's owner. If that fails, it
// removes and closes the file: it would belong to us, and every later open would refuse it.
func (s *Store) handOverFile(d *dir, name string, fd int) error {
	err := s.handOver(fd)
	if err == nil {
		return nil
	}
	var st unix.Stat_t
	if unix.Fstat(fd, &st) == nil && d.leadsTo(name, &st) { // the owner may have replaced it
		_ = d.remove(name)
	}
	unix.Close(fd)
	return err
}

// explainOpen says what the name is instead of a file, if err is one that opening such a
// thing gives: ENXIO for a socket, or for a device without a driver.
func (d *dir) explainOpen(name string, err error) error {
	switch err {
	case unix.EWOULDBLOCK:
		return errLeased
	case unix.ELOOP, unix.EMLINK, unix.ENXIO, unix.ENODEV, unix.EISDIR, unix.EOPNOTSUPP:
	default:
		return err
	}
	st, serr := d.stat(name)
	switch {
	case serr != nil:
		return err
	case st.Mode&unix.S_IFMT == unix.S_IFLNK:
		return notOurs("is a symbolic link, which berth did not make%s", d.remedy())
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return d.notAFile(uint32(st.Mode))
	}
	return err
}

// errLeased is not a notOursError: the file is one of ours, and the lease will end.
var errLeased = errors.New("is leased by another process (fcntl F_SETLEASE), which has to give it up first")

// remedy is the advice for something that is not ours. In place of a slot's file it may
// stand for a job: the error of the read says when it may be removed.
func (d *dir) remedy() string {
	if filepath.Base(d.path) == slots {
		return ""
	}
	return "; remove it"
}

func (d *dir) notAFile(mode uint32) error {
	if mode&unix.S_IFMT == unix.S_IFDIR {
		return notOurs("is a directory")
	}
	return notOurs("is %s, not a regular file%s", kind(mode), d.remedy())
}

// withoutUmask runs make, which makes a file or a directory, without the caller's umask:
// that could shut out the group, or with 0277 ourselves. A chmod after the fact would
// be too late: another process may open the file in between.
//
// The umask is that of the whole process. What another goroutine makes at this moment gets
// the mode that it names, and a command that it starts inherits the empty umask. A
// thread could have an umask of its own (unshare CLONE_FS), but many containers forbid that.
func withoutUmask(make func()) {
	umask.Lock()
	defer umask.Unlock()
	defer unix.Umask(unix.Umask(0))
	make()
}

// umask guards the process's umask: concurrent changes would restore the wrong one.
var umask sync.Mutex

// notOursError says that something which berth did not make is in the place of a file of
// the store.
type notOursError string

func (e notOursError) Error() string { return string(e) }

func notOurs(format string, args ...any) error {
	return notOursError(fmt.Sprintf(format, args...))
}

// checkFile refuses what cannot be a file of this store.
func (s *Store) checkFile(d *dir, fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return d.notAFile(uint32(st.Mode))
	case st.Nlink > 1:
		return notOurs("has %d names (hard links); a lock file must have one", st.Nlink)
	}
	if err := s.checkOwner(&st); err != nil {
		return notOursError(err.Error())
	}
	return nil
}

// checkOwner refuses what was not made in this store: everything made in it gets the
// store's owner, or in a shared one its group.
func (s *Store) checkOwner(st *unix.Stat_t) error {
	switch {
	case s.shared && st.Gid != s.gid:
		return fmt.Errorf("belongs to group %s, the store to group %s", groupName(st.Gid), groupName(s.gid))
	case !s.shared && st.Uid != s.uid:
		return fmt.Errorf("belongs to uid %d, the store to uid %d", st.Uid, s.uid)
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

func openPath(path string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Open(path, flags, mode)
		if err != unix.EINTR {
			return fd, err
		}
	}
}
