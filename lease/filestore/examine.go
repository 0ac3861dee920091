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
	"time"

	"golang.org/x/sys/unix"

	"berth/lease"
)

// rivalFile begins the name of what two processes lock in turn to see whether locks exclude in
// the store. No pool can have such a name. Each examination has a file of its own: in one for
// all, the lock and the removal of another examination would look like a fault.
const rivalFile = ".doctor-"

// rivalsLast is how long the file of an examination that was killed is left alone.
const rivalsLast = time.Hour

// state is what an examination finds in a store's directory.
type state struct {
	dir, at      string // at: the directory, or the nearest one above it that exists
	missing      bool   // the directory; the rest is then that of at
	makeErr      error  // why it cannot be made
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
	st := state{dir: s.dir, at: s.dir}
	root, err := s.rootDir()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		st.missing, st.makeErr = true, s.cannotMake()
		for st.at = filepath.Dir(s.dir); errors.Is(unix.Access(st.at, unix.F_OK), fs.ErrNotExist); {
			st.at = filepath.Dir(st.at)
		}
	case err != nil:
		st.tryErr = err
		return st
	default:
		st.owner, st.group, st.mode = userName(root.st.Uid), groupName(root.st.Gid), uint32(root.st.Mode)&0o7777
	}
	st.network, st.mount = networkFS(st.at), mountAt(st.at)
	var space unix.Statfs_t
	if st.spaceErr = unix.Statfs(st.at, &space); st.spaceErr == nil {
		st.free = uint64(space.Bavail) * uint64(space.Bsize)
		st.files, st.countsFiles = uint64(space.Ffree), space.Files > 0
	}
	if !st.missing && s.opts.TryLock != nil {
		st.tried = true
		st.excludes, st.frees, st.tryErr = s.tryLocks(ctx, root)
	}
	return st
}

// cannotMake says why the first run could not make the directory, which is missing.
func (s *Store) cannotMake() error {
	var st unix.Stat_t
	if unix.Lstat(s.dir, &st) == nil {
		return errors.New("it is a symbolic link that leads nowhere")
	}
	above := filepath.Dir(s.dir)
	switch err := unix.Faccessat(unix.AT_FDCWD, above, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err {
	case nil, unix.EROFS: // the mount's options say that
		return nil
	case unix.ENOENT:
		return fmt.Errorf("%s %w", above, ErrNoParent)
	default:
		return fmt.Errorf("%s: %w", above, err)
	}
}

// tryLocks has another process try to get a lock that this one has, and then has given back.
func (s *Store) tryLocks(ctx context.Context, root *dir) (excludes, frees bool, err error) {
	s.removeRivals(root)
	name := fmt.Sprintf("%s%d-%d", rivalFile, os.Getpid(), time.Now().UnixNano())
	f, err := s.openFile(root, name, creatingNew)
	if err != nil {
		return false, false, err
	}
	defer f.Close()
	defer func() { _ = root.remove(name) }()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return false, false, err
	}
	got, err := s.opts.TryLock(ctx, s.path(name))
	if err != nil {
		return false, false, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_UN); err != nil {
		return false, false, err
	}
	again, err := s.opts.TryLock(ctx, s.path(name))
	return !got, again, err
}

// removeRivals removes the files of examinations that were killed. What cannot be removed stays.
func (s *Store) removeRivals(root *dir) {
	names, err := root.names()
	if err != nil {
		return
	}
	for _, name := range names {
		if !strings.HasPrefix(name, rivalFile) {
			continue
		}
		if st, err := root.stat(name); err == nil && time.Since(time.Unix(st.Mtim.Unix())) > rivalsLast {
			_ = root.remove(name)
		}
	}
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
	case st.makeErr != nil:
		remedy := "ls -ld " + st.dir + " " + filepath.Dir(st.dir)
		if errors.Is(st.makeErr, ErrNoParent) {
			remedy = "mkdir -p " + filepath.Dir(st.dir)
		}
		all = append(all, lease.Ill("directory", lease.Fail, fmt.Sprintf("%s does not exist, and berth run cannot make it: %v", st.dir, st.makeErr), remedy))
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
		return lease.Ill(name, lease.Fail, fact+": nothing can be written", "as root: mount -o remount,rw "+st.mount.point)
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
		return lease.Ill(name, lease.Fail, fmt.Sprintf("cannot be tried: %v", st.tryErr), st.tryRemedy())
	case !st.excludes:
		return lease.Ill(name, lease.Fail, "two processes had the same lock at the same time: more than N jobs run", remedy)
	case !st.frees:
		return lease.Ill(name, lease.Fail, "a lock that was given back could not be had by another process", remedy)
	}
	return lease.Good(name, "a lock of one process excludes another one, until it is given back")
}

func (st state) tryRemedy() string {
	switch {
	case errors.Is(st.tryErr, unix.ENOSPC):
		return st.spaceRemedy()
	case errors.Is(st.tryErr, unix.EMFILE):
		return "ulimit -n 1024"
	}
	return "ls -la " + st.dir
}

func (st state) spaceRemedy() string { return fmt.Sprintf("df -h %s; df -i %s", st.at, st.at) }

func (st state) judgeSpace() lease.Finding {
	const name = "space"
	remedy := st.spaceRemedy()
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
