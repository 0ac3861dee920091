//go:build unix

package filestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"

	"berth/lease"
)

// pool is one open pool.
type pool struct {
	s    *Store
	name string
	dir  string
	// keep is the pool's directory with a shared flock on it, for as long as
	// we have business here: systemd-tmpfiles and its like leave alone what
	// they cannot lock.
	keep *os.File
	file *os.File // the lock file, to read and write the index
}

// pool opens a pool, and makes it when create is set. Without, a pool that is
// not there is fs.ErrNotExist, and nothing is written.
func (s *Store) pool(name string, create bool) (*pool, error) {
	if err := lease.CheckPool(name); err != nil {
		return nil, err
	}
	p := &pool{s: s, name: name, dir: s.path(name)}
	err := p.open(false)
	if create && errors.Is(err, fs.ErrNotExist) {
		for _, d := range []string{p.dir, p.path("slots"), p.path("line")} {
			if err := s.makeDir(d); err != nil {
				p.close()
				return nil, err
			}
		}
		p.close()
		err = p.open(true)
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// open opens what is there, and with create makes the lock file.
func (p *pool) open(create bool) error {
	if err := p.s.checkDir(p.dir); err != nil {
		return err
	}
	for _, d := range []string{p.path("slots"), p.path("line")} {
		if err := p.s.checkDir(d); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err // one that is missing is made with its first file
		}
	}
	fd, err := open(p.dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: p.dir, Err: err}
	}
	p.keep = os.NewFile(uintptr(fd), p.dir)
	// Not to be had means that a cleaner is at work right now; it will see
	// locked or fresh files, and nothing here depends on this lock.
	_, _ = flockNB(p.keep, unix.LOCK_SH)
	p.file, err = p.s.openFile(p.path("lock"), create, false)
	return err
}

func (p *pool) path(parts ...string) string {
	return filepath.Join(append([]string{p.dir}, parts...)...)
}

func (p *pool) slotPath(i int) string { return p.path("slots", strconv.Itoa(i)) }

func (p *pool) close() {
	for _, f := range []*os.File{p.keep, p.file} {
		if f != nil {
			f.Close()
		}
	}
}

// locked runs fn with the pool's lock and its index, and saves the index. fn
// must be short. When ctx ends before the lock is had, fn has not run.
func (p *pool) locked(ctx context.Context, fn func(*index) error) error {
	for {
		l, err := p.lock(ctx, (*flock.Flock).TryLock, (*flock.Flock).Lock, func(e *lease.LockHeldError) error {
			p.s.o.Slow(e)
			return nil
		})
		if errors.Is(err, fs.ErrNotExist) {
			if err := p.reopen(); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		// Somebody may have removed the lock file or put another in its place
		// while we waited; a lock that others do not see is none.
		if fi, err := l.Stat(); err == nil && p.isLockFile(fi) {
			err := p.withIndex(fn)
			_ = l.Unlock()
			return err
		}
		_ = l.Unlock()
		if err := p.reopen(); err != nil {
			return err
		}
	}
}

// lock takes the pool's lock by try, and if that fails by block. When one and
// the same process is found to hold it for all of Timings.Explain (others that
// hold it in turn are just many), stuck is called, once; its error ends this.
func (p *pool) lock(ctx context.Context, try func(*flock.Flock) (bool, error), block func(*flock.Flock) error, stuck func(*lease.LockHeldError) error) (*flock.Flock, error) {
	l := flock.New(p.path("lock"), flock.SetFlag(unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC))
	if ok, err := try(l); ok || err != nil {
		return l, err
	}
	done := make(chan error, 1)
	go func() {
		err := block(l)
		for errors.Is(err, unix.EINTR) {
			err = block(l)
		}
		done <- err
	}()
	giveUp := func(err error) (*flock.Flock, error) {
		go func() {
			if <-done == nil {
				_ = l.Unlock() // it came after all: pass it on
			}
		}()
		return nil, err
	}
	pause := p.s.o.Explain / 2
	look := time.NewTimer(pause)
	defer look.Stop()
	for before := -1; ; {
		select {
		case err := <-done:
			return l, err
		case <-look.C:
			held := p.whoHolds()
			// A lock that changes hands is nobody's until the next one has woken up,
			// which on a busy machine takes longer than he will hold it.
			taken, err := lockedByAnother(p.file)
			nobody := held.PID == 0 && err == nil && !taken
			if held.PID == before && !nobody {
				if err := stuck(held); err != nil {
					return giveUp(err)
				}
				break // once is enough
			}
			// Ever more rarely: a look reads the locks of the whole machine, and
			// with a thousand who wait here there are many of them.
			if before >= 0 {
				pause *= 2
			}
			if before = held.PID; nobody {
				before = -1
			}
			look.Reset(pause)
		case <-ctx.Done():
			return giveUp(fmt.Errorf("%w: %w", context.Cause(ctx), p.whoHolds()))
		}
	}
}

func (p *pool) whoHolds() *lease.LockHeldError {
	e := &lease.LockHeldError{Pool: p.name, Path: p.path("lock")}
	e.PID = flockOwner(p.file)
	if e.PID != 0 {
		e.Frozen = p.s.o.Frozen(lease.Process{PID: e.PID})
	}
	return e
}

func (p *pool) isLockFile(locked fs.FileInfo) bool {
	fi, err := p.file.Stat()
	return err == nil && os.SameFile(fi, locked) && sameFile(p.file, p.path("lock"))
}

// reopen opens the lock file anew, and the directories if they went with it.
func (p *pool) reopen() error {
	n, err := p.s.pool(p.name, true)
	if err != nil {
		return err
	}
	p.close()
	p.keep, p.file = n.keep, n.file
	return nil
}

func (p *pool) withIndex(fn func(*index) error) error {
	ix, err := loadIndex(p.file)
	if errors.Is(err, errIndex) {
		ix, err = p.rebuild()
	}
	if errors.Is(err, errNewer) {
		return &fs.PathError{Op: "read", Path: p.path("lock"), Err: err}
	}
	if err != nil {
		return err
	}
	if ix.start > 0 && p.olderThanBoot(p.file) {
		ix.start = 0 // on a clock that has begun anew since
	}
	// Also after an error: what fn found out on the way is true.
	return errors.Join(fn(ix), ix.save())
}

// rebuild makes the index from the locks: the file is new, or somebody damaged
// it. A fencing token must not be handed out twice, and the last one may be lost:
// tokens go on above all that can still be seen and above the microseconds since
// 1970, which nobody grants faster than.
func (p *pool) rebuild() (*index, error) {
	// Waiters compare change with what they saw: it must be another number now.
	ix := &index{file: p.file, change: uint64(lease.Boottime()/time.Millisecond) % 1e12}
	slots, err := names(p.path("slots"))
	if err != nil {
		return nil, err
	}
	tickets, err := names(p.path("line"))
	if err != nil {
		return nil, err
	}
	for _, n := range tickets {
		ix.ticket = max(ix.ticket, seqOf(n))
	}
	ix.line = len(tickets)
	if len(slots) > 0 {
		ix.token, ix.ticket = uint64(time.Now().UnixMicro()), ix.ticket+1_000_000
		ix.start = uint64(lease.Boottime()) // it was before now: no pace is kept less than it should
	}
	for _, n := range slots {
		i, err := strconv.Atoi(n)
		if err != nil || i < 0 || strconv.Itoa(i) != n {
			continue // not a slot
		}
		for len(ix.limits) <= i {
			ix.limits = append(ix.limits, 0)
		}
		st := p.look(i)
		if st.record != nil && st.record.lease != nil {
			ix.token = max(ix.token, st.record.lease.Token+1_000_000)
		}
		if !st.free() {
			ix.limits[i] = st.asks()
		}
	}
	return ix, ix.saveAll()
}

// names lists a directory without sorting; one that is missing is empty.
func names(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}
