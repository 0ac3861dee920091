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
	"strings"

	"golang.org/x/sys/unix"

	"berth/lease"
)

// The store's directory is found or made here, and checked: everything else is opened from it.

// DefaultDir is the store of this user if none is named. It is one fixed path, the
// same from cron, ssh, CI and an editor: XDG_RUNTIME_DIR, TMPDIR and HOME differ between
// those, and jobs in two stores do not count each other. It is in /var/tmp, because a
// private /tmp (systemd's PrivateTmp, sudo with pam_namespace) would be a store of its own.
func DefaultDir() string {
	return defaultDirs + strconv.Itoa(os.Geteuid())
}

const defaultDirs = "/var/tmp/berth-"

// DefaultOf reports whether dir is the default store of a user, and of which.
func DefaultOf(dir string) (uid uint32, ok bool) {
	digits, ok := strings.CutPrefix(filepath.Clean(dir), defaultDirs)
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), ok && err == nil && strconv.FormatUint(n, 10) == digits
}

// ErrNoParent says that a store cannot be made because its parent directory is missing.
var ErrNoParent = errors.New("is not there")

// prepare opens the store's directory, and with Options.Create makes it if it is missing.
func (s *Store) prepare() error {
	_, err := s.rootDir()
	if !errors.Is(err, fs.ErrNotExist) || !s.opts.Create {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // nothing has been run yet: there are no pools
		}
		return err
	}
	if me := uint32(os.Geteuid()); s.opts.Owner != nil && *s.opts.Owner != me {
		return s.cannotUse(fmt.Errorf("it is not there, and made by %s it would not belong to %s", userName(me), userName(*s.opts.Owner)))
	}
	// Its parents are not made: a mistyped path would become one more store, with no
	// jobs in it.
	withoutUmask(func() { err = os.Mkdir(s.dir, 0o700) })
	s.made = err == nil
	if errors.Is(err, fs.ErrNotExist) {
		return s.cannotUse(fmt.Errorf("it cannot be created: %s %w", filepath.Dir(s.dir), ErrNoParent))
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return s.cannotUse(fmt.Errorf("it cannot be created: %w", err))
	}
	_, err = s.rootDir()
	return err
}

func (s *Store) cannotUse(err error) error {
	return &lease.UnusableStoreError{Dir: s.dir, Err: err}
}

// rootDir is the store's directory. If another directory has taken its place, that one is
// opened and checked. The old one stays open for the pools that were opened in it.
func (s *Store) rootDir() (*dir, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.root != nil && s.leadsTo(s.root) {
		return s.root, nil
	}
	root, err := s.openRoot()
	if err != nil {
		return nil, s.cannotUse(err)
	}
	s.root = root
	return root, nil
}

// leadsTo reports whether the store's path still leads to root.
func (s *Store) leadsTo(root *dir) bool {
	var st unix.Stat_t
	return unix.Stat(s.dir, &st) == nil && st.Dev == root.st.Dev && st.Ino == root.st.Ino
}

func (s *Store) openRoot() (*dir, error) {
	fd, err := openPath(s.dir, dirFlags, 0)
	if err != nil && err != unix.ENOENT {
		var st unix.Stat_t
		if err := unix.Lstat(s.dir, &st); err != nil {
			return nil, err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFLNK {
			if problem := s.checkRoot(&st); problem != nil {
				err = problem // says more than EACCES
			}
			return nil, err
		}
		if s.isDefault || st.Uid != uint32(os.Geteuid()) && st.Uid != 0 && (s.opts.Owner == nil || st.Uid != *s.opts.Owner) {
			return nil, s.foreign(st.Uid, "it is a symbolic link of uid %d", st.Uid)
		}
		fd, err = openPath(s.dir, dirFlags&^unix.O_NOFOLLOW, 0)
	}
	if err != nil {
		return nil, err
	}
	root, err := newDir(fd, s.dir)
	if err != nil {
		return nil, err
	}
	err = s.checkRoot(&root.st)
	if err == nil {
		err = s.checkTrust(root)
	}
	if err != nil {
		root.close()
		return nil, err
	}
	s.uid, s.gid = root.st.Uid, root.st.Gid
	s.shared = root.st.Mode&0o020 != 0
	return root, nil
}

// checkRoot says why a directory cannot be a store. The name of the default one can be
// guessed, in a directory where everybody may write, so there it has to be a plain
// directory of our own.
func (s *Store) checkRoot(st *unix.Stat_t) error {
	me, shared := uint32(os.Geteuid()), st.Mode&0o020 != 0
	switch {
	case s.isDefault && st.Uid != me:
		return s.foreign(st.Uid, "it belongs to %s, who created it first: anyone may create directories there", userName(st.Uid))
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fmt.Errorf("it is %s, %w", notDir(uint32(st.Mode)), unix.ENOTDIR)
	case s.opts.Owner != nil && st.Uid != *s.opts.Owner:
		return fmt.Errorf("it belongs to %s, not to %s as requested", userName(st.Uid), userName(*s.opts.Owner))
	case s.opts.Owner == nil && me == 0 && st.Uid != 0:
		return s.foreign(st.Uid, "it belongs to %s; without --store-owner, root uses only stores that root owns", userName(st.Uid))
	case st.Mode&0o002 != 0 && st.Mode&unix.S_ISVTX != 0:
		return fmt.Errorf("it can be written by everybody (mode %04o); name a directory of your own in it, like %s/berth", st.Mode&0o7777, strings.TrimSuffix(s.dir, "/"))
	case st.Mode&0o002 != 0:
		return fmt.Errorf("it can be written by everybody (mode %04o); make it 0700, or 2770 to share it with a group", st.Mode&0o7777)
	case s.isDefault && shared:
		return fmt.Errorf("it can be written by its group (mode %04o); make it 0700", st.Mode&0o7777)
	case shared && st.Mode&unix.S_ISGID == 0:
		return fmt.Errorf("it can be written by its group, but files in it would not get that group (mode %04o); make it 2770", st.Mode&0o7777)
	case shared && !inGroup(int(st.Gid)) && st.Uid != me:
		group, us := groupName(st.Gid), userName(me)
		return fmt.Errorf("it is shared with the group %s, and user %s is not in it: ask root to run 'usermod -aG %s %s', then log in again, or name another store with --store", group, us, group, us)
	case !shared && st.Uid != me && me != 0:
		return fmt.Errorf("it belongs to %s; share it with a group (mode 2770), or name another with --store", userName(st.Uid))
	}
	return nil
}

// checkTrust refuses a store that a stranger may have made where we expect one. A user who
// may write in a store can stop our jobs and delay them, though nothing else. We use:
//
//   - if an owner was named, a store of that owner and no other;
//   - else our own, and as root only that;
//   - a store of root's that is shared with a group that we are in;
//   - such a store of another user, if it lies where not everybody may make a directory.
//
// That the store is shared with a group of ours was found out by checkRoot.
//
// In /tmp everybody could make a directory of a known name, set-group-ID and with a group
// that all users are in.
func (s *Store) checkTrust(root *dir) error {
	if s.opts.Owner != nil || root.st.Uid == uint32(os.Geteuid()) || root.st.Uid == 0 {
		return nil
	}
	above, err := root.stat("..")
	if err != nil {
		return err
	}
	if above.Mode&0o002 != 0 {
		return s.foreign(root.st.Uid, "it belongs to %s, and lies where everybody may make a directory", userName(root.st.Uid))
	}
	return nil
}

func (s *Store) foreign(uid uint32, format string, args ...any) error {
	return &lease.ForeignStoreError{Dir: s.dir, Owner: typedUser(uid), Default: s.isDefault, Me: typedUser(uint32(os.Geteuid())), Err: fmt.Errorf(format, args...)}
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

// typedUser is the user's name or number, as --store-owner takes it.
func typedUser(uid uint32) string { return strings.TrimPrefix(userName(uid), "uid ") }

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

// handOver gives what we have just made to the store's owner. Only root makes anything in
// another user's store without a group, and the owner could not open what stays root's.
func (s *Store) handOver(fd int) error {
	if s.shared || s.uid == uint32(os.Geteuid()) {
		return nil
	}
	return unix.Fchown(fd, int(s.uid), int(s.gid))
}

func (s *Store) path(parts ...string) string {
	return filepath.Join(append([]string{s.dir}, parts...)...)
}
