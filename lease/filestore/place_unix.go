//go:build unix

package filestore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// DefaultDir is the store of this user when none is named. It is one fixed
// path, the same from cron, ssh, CI and an editor: XDG_RUNTIME_DIR, TMPDIR and
// HOME differ between those, and two stores count nothing. /var/tmp rather
// than /tmp, because a start in a private /tmp (systemd's PrivateTmp, sudo
// with pam_namespace) would again be a store of its own.
func DefaultDir() string {
	return "/var/tmp/berth-" + strconv.Itoa(os.Geteuid())
}

// claim makes the directory if it is missing, and refuses one in which others
// than its owner or its group could put files.
func (s *Store) claim() error {
	_, err := s.rootDir()
	if !errors.Is(err, fs.ErrNotExist) || !s.o.Create {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // nobody has run anything yet: there are no pools
		}
		return err
	}
	mk := os.MkdirAll
	if s.strict {
		mk = os.Mkdir
	}
	exactly(func() { err = mk(s.dir, 0o700) })
	if err != nil && !errors.Is(err, fs.ErrExist) {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return s.unfit(fmt.Errorf("cannot create it: %w", err))
	}
	_, err = s.rootDir()
	return err
}

func (s *Store) unfit(err error) error {
	return &fs.PathError{Op: "use store", Path: s.dir, Err: err}
}

// rootDir is the store's directory. It is opened and checked again when another
// one has taken its place. One that is no longer used is closed with the last
// pool that was opened in it.
func (s *Store) rootDir() (*dir, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.root != nil && s.inPlace(s.root) {
		return s.root, nil
	}
	root, err := s.openRoot()
	if err != nil {
		return nil, s.unfit(err)
	}
	s.root = root
	return root, nil
}

// inPlace reports whether the store's path still leads to root.
func (s *Store) inPlace(root *dir) bool {
	var st unix.Stat_t
	return unix.Stat(s.dir, &st) == nil && st.Dev == root.st.Dev && st.Ino == root.st.Ino
}

func (s *Store) openRoot() (*dir, error) {
	fd, err := open(s.dir, dirFlags, 0)
	if err != nil && err != unix.ENOENT {
		var st unix.Stat_t
		if err := unix.Lstat(s.dir, &st); err != nil {
			return nil, err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFLNK {
			if unfit := s.fit(&st); unfit != nil {
				err = unfit // says more than that it is closed
			}
			return nil, err
		}
		if s.strict || st.Uid != uint32(os.Geteuid()) && st.Uid != 0 {
			return nil, fmt.Errorf("is a symbolic link of uid %d", st.Uid)
		}
		fd, err = open(s.dir, dirFlags&^unix.O_NOFOLLOW, 0)
	}
	if err != nil {
		return nil, err
	}
	root, err := newDir(fd, s.dir)
	if err != nil {
		return nil, err
	}
	if err := s.fit(&root.st); err != nil {
		root.close()
		return nil, err
	}
	s.uid, s.gid = root.st.Uid, root.st.Gid
	s.shared = root.st.Mode&0o020 != 0
	return root, nil
}

// fit says what is wrong with a directory as a store. The name of the default one
// can be guessed, in a directory where everybody may write, so nothing but our
// own plain directory will do there.
func (s *Store) fit(st *unix.Stat_t) error {
	shared := st.Mode&0o020 != 0
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fmt.Errorf("is %s, not a directory", notDir(uint32(st.Mode)))
	case st.Mode&0o002 != 0:
		return fmt.Errorf("can be written by everybody (mode %04o); make it 0700, or 2770 to share it with a group", st.Mode&0o7777)
	case s.strict && shared:
		return fmt.Errorf("can be written by its group (mode %04o); make it 0700", st.Mode&0o7777)
	case shared && st.Mode&unix.S_ISGID == 0:
		return fmt.Errorf("can be written by its group, but files in it would not get that group (mode %04o); make it 2770", st.Mode&0o7777)
	case shared && !inGroup(int(st.Gid)) && st.Uid != uint32(os.Geteuid()):
		return fmt.Errorf("is shared with the group %s, which you are not in", groupName(st.Gid))
	case !shared && st.Uid != uint32(os.Geteuid()):
		return fmt.Errorf("belongs to %s; share it with a group (mode 2770), or name another with --store", userName(st.Uid))
	}
	return nil
}

func inGroup(gid int) bool {
	if gid == os.Getegid() || os.Geteuid() == 0 {
		return true
	}
	groups, _ := os.Getgroups()
	for _, g := range groups {
		if g == gid {
			return true
		}
	}
	return false
}

func userName(uid uint32) string {
	id := strconv.Itoa(int(uid))
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "uid " + id
}

func groupName(gid uint32) string {
	id := strconv.Itoa(int(gid))
	if g, err := user.LookupGroupId(id); err == nil {
		return g.Name
	}
	return id
}

func (s *Store) fileMode() uint32 {
	if s.shared {
		return 0o660
	}
	return 0o600
}

func (s *Store) path(parts ...string) string {
	return filepath.Join(append([]string{s.dir}, parts...)...)
}
