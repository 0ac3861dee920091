//go:build unix

package filestore

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// Wait implements lease.Place. It sleeps in the kernel: behind others in
// flock(2) on the ticket before ours, as the head on events of the slots.
// Every now and then it looks by itself, for what makes no event: a waiter
// that is frozen, an orphan without a lock that ended, an event that was lost.
func (t *place) Wait(ctx context.Context) error {
	if t.pred != "" {
		return t.waitBehind(ctx)
	}
	return t.waitHead(ctx)
}

func (t *place) waitBehind(ctx context.Context) error {
	t.closeWatch()
	if t.blockedOn != t.pred {
		t.blocked, t.blockedOn = t.block(t.pred), t.pred
	}
	look := time.NewTimer(t.pool.s.o.Look)
	defer look.Stop()
	select {
	case <-t.blocked:
		t.blockedOn = ""
		return nil
	case <-look.C:
		t.slow = true
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// block returns a channel that is closed when the ticket name is no longer
// held. The lock is asked for shared, so that those who wait for the same
// ticket, and those who look at it, do not wait for each other. A goroutine
// whose result nobody wants any more sleeps on until that ticket goes; that
// costs a thread, once for each waiter that we pass.
func (t *place) block(name string) chan struct{} {
	done := make(chan struct{})
	l := t.pool.ticketLock(name)
	go func() {
		defer close(done)
		for errors.Is(l.RLock(), unix.EINTR) {
		}
		_ = l.Unlock()
	}()
	return done
}

func (t *place) waitHead(ctx context.Context) error {
	if t.watch == nil && !t.watchFailed {
		w, err := newWatch(t.pool.path("slots"))
		t.watch, t.watchFailed = w, err != nil
		t.suspect, t.again = nil, len(t.pool.s.o.Again)
		if err == nil {
			return nil // look once more, for what happened before the watch began
		}
	}
	timer := time.NewTimer(t.patience())
	defer timer.Stop()
	select {
	case ev, ok := <-t.watch.events():
		if t.again >= len(t.pool.s.o.Again) {
			t.suspect = map[int]bool{}
		}
		t.again = 0
		switch {
		case !ok:
			t.closeWatch()
			t.suspect = nil
		case ev < 0:
			t.suspect = nil
		case t.suspect != nil:
			t.suspect[ev] = true
		}
		return nil
	case <-timer.C:
		if t.again++; t.again > len(t.pool.s.o.Again) {
			t.suspect = nil
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// patience is how long the head sleeps without an event.
func (t *place) patience() time.Duration {
	o := &t.pool.s.o
	switch {
	case t.watch == nil:
		return o.Poll
	case t.again < len(o.Again):
		return o.Again[t.again]
	}
	return o.Head
}

// closeWatch closes the watch on the side: that takes 10 to 20 ms, which must
// not stand between a free slot and the start of its child.
func (t *place) closeWatch() {
	if t.watch != nil {
		go t.watch.close()
		t.watch = nil
	}
}
