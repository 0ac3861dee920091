//go:build unix

package filestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"berth/lease"
)

// rivalFile is what two processes lock in turn to see whether locks exclude in the store. No
// pool can have its name. If it is left behind, the next examination takes it.
const rivalFile = ".doctor"

// state is what an examination finds in a store's directory.
type state struct {
	dir          string
	missing      bool // the directory; the rest is then that of its parent
	owner, group string
	mode         uint32
	mount        mount
	network      string // "": it is on no network

	free, files uint64 // bytes and inodes
	countsFiles bool
	spaceErr    error
	excludes    bool // a lock of ours kept another process from getting it
	frees       bool // and no longer when we had given it back
	tried       bool // both were tried
	tryErr      error
}

// mount is where a directory is mounted; the zero value: not known.
type mount struct{ kind, point, options string }

// Examine implements lease.Examiner.
func (s *Store) Examine(ctx context.Context) []lease.Finding { return s.look(ctx).judge() }

func (s *Store) look(ctx context.Context) state {
	st := state{dir: s.dir}
	at := s.dir
	root, err := s.rootDir()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		st.missing, at = true, filepath.Dir(s.dir)
	case err != nil:
		st.tryErr = err
		return st
	default:
		st.owner, st.group, st.mode = userName(root.st.Uid), groupName(root.st.Gid), uint32(root.st.Mode)&0o7777
	}
	st.network, st.mount = networkFS(at), mountAt(at)
	var space unix.Statfs_t
	if st.spaceErr = unix.Statfs(at, &space); st.spaceErr == nil {
		st.free = uint64(space.Bavail) * uint64(space.Bsize)
		st.files, st.countsFiles = uint64(space.Ffree), space.Files > 0
	}
	if !st.missing && s.opts.TryLock != nil {
		st.tried = true
		st.excludes, st.frees, st.tryErr = s.tryLocks(ctx, root)
	}
	return st
}

// tryLocks has another process try to get a lock that this one has, and then has given back.
func (s *Store) tryLocks(ctx context.Context, root *dir) (excludes, frees bool, err error) {
	f, err := s.openFile(root, rivalFile, creating)
	if err != nil {
		return false, false, err
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return false, false, fmt.Errorf("%s is locked, perhaps by another berth doctor: %w", s.path(rivalFile), err)
	}
	defer func() { _ = root.remove(rivalFile) }()
	got, err := s.opts.TryLock(ctx, s.path(rivalFile))
	if err != nil {
		return false, false, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_UN); err != nil {
		return false, false, err
	}
	again, err := s.opts.TryLock(ctx, s.path(rivalFile))
	return !got, again, err
}

// TryLock reports whether this process can lock a file now, for the other side of an
// examination.
func TryLock(file string) (bool, error) {
	f, err := os.OpenFile(file, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err {
	case nil:
		return true, nil
	case unix.EWOULDBLOCK:
		return false, nil
	default:
		return false, err
	}
}

const (
	leastBytes = 16 << 20 // some thousand records
	leastFiles = 1000
)

// judge says what each finding means.
func (st state) judge() (all []lease.Finding) {
	switch {
	case st.missing:
		all = append(all, lease.Good("directory", st.dir+" does not exist yet: the first berth run makes it"))
	case st.owner == "":
		return []lease.Finding{lease.Ill("directory", lease.Fail, st.tryErr.Error(), "berth help sharing says what a directory has to be like")}
	default:
		all = append(all, lease.Good("directory", fmt.Sprintf("%s belongs to %s and group %s, mode %04o", st.dir, st.owner, st.group, st.mode)))
	}
	all = append(all, st.judgeMount())
	if f := st.judgeLocks(); f.Name != "" {
		all = append(all, f)
	}
	return append(all, st.judgeSpace())
}

func (st state) judgeMount() lease.Finding {
	const name = "file system"
	fact := "its kind is not known here"
	if m := st.mount; m.kind != "" {
		fact = fmt.Sprintf("%s, mounted at %s (%s)", m.kind, m.point, m.options)
	}
	switch {
	case hasOption(st.mount.options, "ro"):
		return lease.Ill(name, lease.Fail, fact+": nothing can be written", "mount -o remount,rw "+st.mount.point)
	case st.network != "":
		return lease.Ill(name, lease.Warn, fact+": slots are as reliable as its locks over the network", "a directory on a local file system, or for several machines Redis or etcd: berth help stores")
	case st.mount.kind == "overlay":
		return lease.Good(name, fact+": in a container it is this container's own")
	}
	return lease.Good(name, fact)
}

func (st state) judgeLocks() lease.Finding {
	const name, remedy = "locks", "name a directory on a local file system with --store, or Redis or etcd: berth help stores"
	switch {
	case !st.tried:
		return lease.Finding{}
	case st.tryErr != nil:
		return lease.Ill(name, lease.Fail, fmt.Sprintf("cannot be tried: %v", st.tryErr), "ls -la "+st.dir)
	case !st.excludes:
		return lease.Ill(name, lease.Fail, "two processes had the same lock at the same time: more than N jobs run", remedy)
	case !st.frees:
		return lease.Ill(name, lease.Fail, "a lock that was given back could not be had by another process", remedy)
	}
	return lease.Good(name, "a lock of one process excludes another one, until it is given back")
}

func (st state) judgeSpace() lease.Finding {
	const name = "space"
	remedy := fmt.Sprintf("df -h %s; df -i %s", filepath.Dir(st.dir), filepath.Dir(st.dir))
	if st.spaceErr != nil {
		return lease.Ill(name, lease.Warn, fmt.Sprintf("cannot be read: %v", st.spaceErr), remedy)
	}
	fact := fmt.Sprintf("%d MB free", st.free>>20)
	if st.countsFiles {
		fact += fmt.Sprintf(", %d files can be made", st.files)
	}
	switch {
	case st.free == 0 || st.countsFiles && st.files == 0:
		return lease.Ill(name, lease.Fail, fact, remedy)
	case st.free < leastBytes || st.countsFiles && st.files < leastFiles:
		return lease.Ill(name, lease.Warn, fact, remedy)
	}
	return lease.Good(name, fact)
}

func hasOption(options, option string) bool {
	return slices.Contains(strings.Split(options, ","), option)
}
