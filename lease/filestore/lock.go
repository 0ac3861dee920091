//go:build unix

package filestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"

	"berth/lease"
)

// locked runs fn with the pool's lock and its index, and saves the index. fn
// must be short. When ctx ends before the lock is acquired, fn has not run.
func (p *pool) locked(ctx context.Context, fn func(*index) error) error {
	for {
		l, err := p.lock(ctx, unix.LOCK_EX, func(e *lease.LockHeldError) error {
			p.s.opts.Slow(e)
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
		// The lock file may have been removed or replaced while we waited; a lock
		// that other processes do not see is none.
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

// ifNotLocked runs fn with the pool's lock, but without its index, if it can be had at once.
func (p *pool) ifNotLocked(fn func()) {
	l := p.top.lockOf("lock")
	if got, err := l.TryLock(); !got || err != nil {
		return
	}
	defer l.Unlock()
	if sameFile(l.f, p.file) && p.inPlace() {
		fn()
	}
}

// withIndex runs fn with the pool's index, under its lock, and saves it.
func (p *pool) withIndex(fn func(*index) error) error {
	ix, err := loadIndex(p.file)
	switch {
	case errors.Is(err, errIndex):
		ix, err = p.rebuild()
	case err == nil && ix.boot != p.s.boot:
		err = p.firstOfBoot(ix)
	case err == nil && ix.start > uint64(p.s.Clock()):
		err = p.clampStarts(ix)
	}
	if errors.Is(err, errNewer) {
		return &fs.PathError{Op: "read", Path: p.path("lock"), Err: err}
	}
	if err != nil {
		return err
	}
	p.earlierBoot = false
	// Also after an error: what fn has found out until then is true.
	return errors.Join(fn(ix), ix.save())
}

// lock takes the pool's lock: how is LOCK_EX or LOCK_SH. See awaitLock for stuck.
func (p *pool) lock(ctx context.Context, how int, stuck func(*lease.LockHeldError) error) (*fileLock, error) {
	l := p.top.lockOf("lock")
	if got, err := l.try(how); got || err != nil {
		return l, err
	}
	blocked := make(chan error, 1)
	go func() {
		blocked <- l.wait(how)
		close(blocked)
	}()
	err := p.awaitLock(ctx, blocked, stuck)
	if err != nil {
		go func() {
			if <-blocked == nil {
				l.Unlock() // acquired too late: pass it on
			}
		}()
		return nil, err
	}
	return l, nil
}

// awaitLock returns what comes from blocked, the result of a blocking lock. Before
// that it calls stuck, once, if a single process holds the pool's lock for all of
// Timings.Explain; an error of stuck ends the wait, and so does the end of ctx.
func (p *pool) awaitLock(ctx context.Context, blocked <-chan error, stuck func(*lease.LockHeldError) error) error {
	w := p.watchLock()
	defer w.timer.Stop()
	for {
		select {
		case err := <-blocked:
			return err
		case <-w.timer.C:
			if w.sample() {
				if err := stuck(p.heldBy(w.last)); err != nil {
					return err
				}
			}
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), w.held())
		}
	}
}

// lockWatch finds out who holds the pool's lock while another goroutine waits for it.
type lockWatch struct {
	pool  *pool
	timer *time.Timer // fires when the next sample is due
	pause time.Duration
	last  lockSample
}

// lockSample is the state of the pool's lock at one moment.
type lockSample struct {
	taken bool
	pid   int    // of the holder, 0 if unknown
	index string // the header of the index
}

func (p *pool) watchLock() *lockWatch {
	pause := p.s.opts.Explain / 2
	return &lockWatch{pool: p, timer: time.NewTimer(pause), pause: pause, last: lockSample{index: p.header()}}
}

// sample reports whether the same process holds the lock as at the last sample.
// If it does, it was the last one.
func (w *lockWatch) sample() bool {
	before := w.last
	w.last = w.pool.sampleLock()
	if w.last.sameHolder(before) {
		return true
	}
	w.timer.Reset(w.pause)
	// A sample reads all locks of the machine, and with a thousand waiters there are
	// many of them. So the pauses grow.
	w.pause *= 2
	return false
}

// held says who holds the lock now.
func (w *lockWatch) held() *lease.LockHeldError {
	now := w.pool.sampleLock()
	e := w.pool.heldBy(now)
	e.Busy = now.pid == 0 && (!now.taken || now.index != w.last.index)
	return e
}

// sampleLock samples the lock. On a busy machine it is often free: the next process
// in line has not woken up yet, which takes longer than it will hold the lock.
func (p *pool) sampleLock() (s lockSample) {
	s.index = p.header()
	s.pid = p.s.lockOwner(p.file)
	l := p.top.lockOf("lock") // not p.file: an unlock that fails would leave us the lock
	free, err := l.TryRLock()
	l.Unlock()
	s.taken = s.pid != 0 || !free || err != nil
	return s
}

// sameHolder reports whether one process held the lock at both moments. If its pid is
// unknown and the index has changed since, it did not: the lock changed hands unseen.
func (s lockSample) sameHolder(before lockSample) bool {
	return s.taken && before.taken && s.pid == before.pid && (s.pid != 0 || s.index == before.index)
}

func (p *pool) heldBy(s lockSample) *lease.LockHeldError {
	e := &lease.LockHeldError{Pool: p.name, Path: p.path("lock"), PID: s.pid}
	if e.PID != 0 {
		e.Frozen = p.s.opts.Frozen(lease.Process{PID: e.PID})
	}
	return e
}

// header returns the first bytes of the index. They change with nearly every decision.
func (p *pool) header() string {
	b := make([]byte, headerLen)
	n, _ := p.file.ReadAt(b, 0)
	return string(b[:n])
}
