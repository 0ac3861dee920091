//go:build unix

package filestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"berth/lease"
)

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
