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
// than its owner or its group could put files. dir is the default one when
// strict is set: that name can be guessed, in a directory where everybody may
// write, so nothing but our own plain directory will do.
func (s *Store) claim(strict bool) error {
	fail := func(err error) error { return &fs.PathError{Op: "use store", Path: s.dir, Err: err} }
	var st unix.Stat_t
	err := unix.Lstat(s.dir, &st)
	if err == unix.ENOENT && !s.o.Create {
		return nil // nobody has run anything yet: there are no pools
	}
	if err == unix.ENOENT {
		mk := os.MkdirAll
		if strict {
			mk = os.Mkdir
		}
		exactly(func() { err = mk(s.dir, 0o700) })
		if err != nil && !errors.Is(err, fs.ErrExist) {
			var pe *fs.PathError
			if errors.As(err, &pe) {
				err = pe.Err
			}
			return fail(fmt.Errorf("cannot create it: %w", err))
		}
		err = unix.Lstat(s.dir, &st)
	}
	if err != nil {
		return fail(err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		if strict || (st.Uid != uint32(os.Geteuid()) && st.Uid != 0) {
			return fail(fmt.Errorf("is a symbolic link of uid %d", st.Uid))
		}
		if err := unix.Stat(s.dir, &st); err != nil {
			return fail(err)
		}
	}
	s.uid = st.Uid
	s.shared = !strict && st.Mode&0o020 != 0
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fail(fmt.Errorf("is %s, not a directory", notDir(uint32(st.Mode))))
	case st.Mode&0o002 != 0:
		return fail(fmt.Errorf("can be written by everybody (mode %04o); make it 0700, or 2770 to share it with a group", st.Mode&0o7777))
	case strict && st.Mode&0o020 != 0:
		return fail(fmt.Errorf("can be written by its group (mode %04o); make it 0700", st.Mode&0o7777))
	case s.shared && st.Mode&unix.S_ISGID == 0:
		return fail(fmt.Errorf("can be written by its group, but files in it would not get that group (mode %04o); make it 2770", st.Mode&0o7777))
	case s.shared && !inGroup(int(st.Gid)) && st.Uid != uint32(os.Geteuid()):
		return fail(fmt.Errorf("is shared with the group %s, which you are not in", groupName(st.Gid)))
	case !s.shared && st.Uid != uint32(os.Geteuid()):
		return fail(fmt.Errorf("belongs to %s; share it with a group (mode 2770), or name another with --store", userName(st.Uid)))
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
