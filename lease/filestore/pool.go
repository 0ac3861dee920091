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
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"berth/lease"
)

// pool is one open pool.
type pool struct {
	s    *Store
	name string
	dir  string // its path, for messages

	mu   sync.Mutex
	root *dir
	// keep is the pool's directory with a shared flock on it, for as long as
	// we have business here: systemd-tmpfiles and its like leave alone what
	// they cannot lock.
	keep *dir
	subs map[string]*dir // slots and line; one that is missing is made with its first file
	file *os.File        // the lock file, to read and write the index

	found sync.Map // of startedFor: a *lease.Process by the id of its lease

	// elder: the index is of an earlier boot, or none, so a record may be so, too.
	elder bool
}

// The directories of a pool.
const (
	itself = ""
	slots  = "slots"
	line   = "line"
)

// pool opens a pool, and makes it when create is set. Without, a pool that is
// not there is fs.ErrNotExist, and nothing is written. One with settings is there.
func (s *Store) pool(name string, create bool) (*pool, error) {
	if err := lease.CheckPool(name); err != nil {
		return nil, err
	}
	p := &pool{s: s, name: name, dir: s.path(name)}
	err := p.open(false)
	if errors.Is(err, fs.ErrNotExist) && p.keep != nil {
		if _, serr := p.keep.stat("limit"); serr == nil {
			create = true // a cleaner left the settings and nothing else
		}
	}
	for try := 0; create && errors.Is(err, fs.ErrNotExist) && try < 10; try++ {
		p.close()
		err = p.open(true) // not there either: somebody forgets the pool just now
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// open opens what is there, and with create makes what is not.
func (p *pool) open(create bool) (err error) {
	p.subs = map[string]*dir{}
	if p.root, err = p.s.rootDir(); err != nil {
		return err
	}
	get := p.s.openDir
	if create {
		get = p.s.makeDir
	}
	if p.keep, err = get(p.root, p.name); err != nil {
		return err
	}
	for _, name := range []string{slots, line} {
		sub, err := get(p.keep, name)
		if err == nil {
			p.subs[name] = sub
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	// Not to be had means that a cleaner is at work right now; it will see
	// locked or fresh files, and nothing here depends on this lock.
	_, _ = flockNB(p.keep.f, unix.LOCK_SH)
	to := writing
	if create {
		to = making
	}
	p.file, err = p.s.openFile(p.keep, "lock", to)
	return err
}

func (p *pool) path(parts ...string) string {
	return filepath.Join(append([]string{p.dir}, parts...)...)
}

func (p *pool) slotPath(i int) string { return p.path(slots, strconv.Itoa(i)) }

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.subs {
		d.close()
	}
	p.keep.close()
	if p.file != nil {
		p.file.Close()
	}
}

// in returns a directory of the pool, and with create makes it when it is missing.
func (p *pool) in(name string, create bool) (*dir, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if name == itself {
		return p.keep, nil
	}
	if d := p.subs[name]; d != nil {
		return d, nil
	}
	get := p.s.openDir
	if create {
		get = p.s.makeDir
	}
	d, err := get(p.keep, name)
	if err == nil {
		p.subs[name] = d
	}
	return d, err
}

// openFile opens a file in one of the pool's directories, see Store.openFile.
func (p *pool) openFile(where, name string, to purpose) (*os.File, error) {
	for again := to >= making; ; again = false {
		d, err := p.in(where, to >= making)
		if err != nil {
			return nil, err
		}
		f, err := p.s.openFile(d, name, to)
		if !again || !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
		p.forget(where) // somebody removed it: nothing can be made in it any more
	}
}

func (p *pool) forget(where string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d := p.subs[where]; d != nil {
		d.close()
		delete(p.subs, where)
	}
}

func (p *pool) openSlot(i int, to purpose) (*os.File, error) {
	return p.openFile(slots, strconv.Itoa(i), to)
}

// names lists one of the pool's directories; one that is missing is empty.
func (p *pool) names(where string) ([]string, error) {
	d, err := p.in(where, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return d.names()
}

// remove removes a file; that it is gone already is fine.
func (p *pool) remove(where, name string) error {
	d, err := p.in(where, false)
	if err == nil {
		err = d.remove(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// stat looks at a file without opening it.
func (p *pool) stat(where, name string) (st unix.Stat_t, err error) {
	d, err := p.in(where, false)
	if err != nil {
		return st, err
	}
	st, err = d.stat(name)
	return st, d.failed("stat", name, err)
}

// inPlace reports whether all that is open has its name still, up to the store.
// Who looks after the lock was taken knows that everybody else locks the same.
func (p *pool) inPlace() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, sub := range p.subs {
		if !p.keep.leadsTo(name, &sub.st) {
			return false
		}
	}
	return p.s.inPlace(p.root) && p.root.leadsTo(p.name, &p.keep.st) && p.keep.holds("lock", p.file)
}

// hasSlot reports whether f is what everybody else takes for slot i.
func (p *pool) hasSlot(i int, f *os.File) bool {
	d, err := p.in(slots, false)
	return err == nil && d.holds(strconv.Itoa(i), f)
}

// locked runs fn with the pool's lock and its index, and saves the index. fn
// must be short. When ctx ends before the lock is had, fn has not run.
func (p *pool) locked(ctx context.Context, fn func(*index) error) error {
	for {
		l, err := p.lock(ctx, (*fileLock).TryLock, (*fileLock).Lock, func(e *lease.LockHeldError) error {
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
		if sameFile(l.f, p.file) && p.inPlace() {
			err := p.withIndex(fn)
			l.Unlock()
			return err
		}
		l.Unlock()
		if err := p.reopen(); err != nil {
			return err
		}
	}
}

// lock takes the pool's lock by try, and if that fails by block. When one and
// the same process is found to hold it for all of Timings.Explain (others that
// hold it in turn are just many), stuck is called, once; its error ends this.
func (p *pool) lock(ctx context.Context, try func(*fileLock) (bool, error), block func(*fileLock) error, stuck func(*lease.LockHeldError) error) (*fileLock, error) {
	l := p.keep.lock("lock")
	if ok, err := try(l); ok || err != nil {
		return l, err
	}
	done := make(chan error, 1)
	go func() { done <- block(l) }()
	giveUp := func(err error) (*fileLock, error) {
		go func() {
			if <-done == nil {
				l.Unlock() // it came after all: pass it on
			}
		}()
		return nil, err
	}
	pause := p.s.o.Explain / 2
	look := time.NewTimer(pause)
	defer look.Stop()
	before := glimpse{index: p.header()}
	for first := true; ; first = false {
		select {
		case err := <-done:
			return l, err
		case <-look.C:
			now := p.glimpse()
			if !first && now.sameHolder(before) {
				if err := stuck(p.held(now)); err != nil {
					return giveUp(err)
				}
				break // once is enough
			}
			// More and more rarely: a look reads the locks of the whole machine, and
			// with a thousand who wait here there are many of them.
			if !first {
				pause *= 2
			}
			before = now
			look.Reset(pause)
		case <-ctx.Done():
			now := p.glimpse()
			held := p.held(now)
			held.Busy = now.pid == 0 && (!now.taken || now.index != before.index)
			return giveUp(fmt.Errorf("%w: %w", context.Cause(ctx), held))
		}
	}
}

// glimpse is the pool's lock as it was at one moment.
type glimpse struct {
	taken bool
	pid   int    // who has it, 0: not known
	index string // what the index began with
}

// glimpse looks at the lock. On a busy machine it is often nobody's: the next one
// has not woken up, which takes longer than it will hold it.
func (p *pool) glimpse() (g glimpse) {
	g.index = p.header()
	g.pid = p.s.lockOwner(p.file)
	l := p.keep.lock("lock") // not p.file: an unlock that fails would leave us the lock
	free, err := l.TryRLock()
	l.Unlock()
	g.taken = g.pid != 0 || !free || err != nil
	return g
}

// sameHolder reports whether one process has had the lock at both moments. One that
// cannot be named has not, when others have changed the index since: it was missed
// while the lock changed hands.
func (g glimpse) sameHolder(before glimpse) bool {
	return g.taken && before.taken && g.pid == before.pid && (g.pid != 0 || g.index == before.index)
}

func (p *pool) held(g glimpse) *lease.LockHeldError {
	e := &lease.LockHeldError{Pool: p.name, Path: p.path("lock"), PID: g.pid}
	if e.PID != 0 {
		e.Frozen = p.s.o.Frozen(lease.Process{PID: e.PID})
	}
	return e
}

// header is what the index begins with, as a sign of whether it changes.
func (p *pool) header() string {
	b := make([]byte, headerLen)
	n, _ := p.file.ReadAt(b, 0)
	return string(b[:n])
}

// reopen opens the pool again, and makes what is gone of it.
func (p *pool) reopen() error {
	n, err := p.s.pool(p.name, true)
	if err != nil {
		return err
	}
	p.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.root, p.keep, p.subs, p.file = n.root, n.keep, n.subs, n.file
	return nil
}
