//go:build unix

package filestore

import (
	"context"
	"time"
)

// Wait implements lease.Place. It sleeps in the kernel: behind others in
// flock(2) on the ticket before ours, as the head on events of the slots.
// From time to time it checks by itself, for what makes no event: a waiter
// that is frozen, a process that cannot be followed, an event that was lost.
func (t *place) Wait(ctx context.Context) error {
	if t.at.pred != "" {
		return t.waitBehind(ctx)
	}
	return t.waitHead(ctx)
}

func (t *place) waitBehind(ctx context.Context) error {
	t.head.close()
	checkFrozen := time.NewTimer(t.pool.s.opts.FrozenCheck)
	defer checkFrozen.Stop()
	select {
	case <-t.blockOn(t.at.pred):
		delete(t.blocked, t.at.pred)
		return nil
	case <-checkFrozen.C:
		t.checkFrozen = true
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// wakeDelay is how long the next waiter sleeps on when the ticket before it goes. The winner
// removes its ticket in the same step in which it takes the slot. If it removed it later and
// were stopped before that, the next waiter would not see a slot that is free. But to
// become the head takes 0.3 ms of CPU time. On two busy cores, that time would be missing
// at the start of the winner's child.
const wakeDelay = 2 * time.Millisecond

// blockOn returns a channel that is closed when the ticket name is no longer held.
// The goroutine takes a shared lock, so that several that wait for the same ticket,
// or read it, do not wait for each other.
//
// A goroutine whose result is no longer wanted sleeps on until its ticket goes, and
// occupies a thread. It is kept for when we wait for that ticket again: a waiter before
// us that is stopped and continued a hundred times costs one thread.
func (t *place) blockOn(name string) <-chan struct{} {
	if done, ok := t.blocked[name]; ok {
		return done
	}
	for n, done := range t.blocked {
		select {
		case <-done:
			delete(t.blocked, n)
		default:
		}
	}
	done := make(chan struct{})
	if t.blocked == nil {
		t.blocked = map[string]chan struct{}{}
	}
	t.blocked[name] = done
	l, err := t.pool.ticketLock(name)
	if err != nil {
		close(done) // it is gone
		return done
	}
	go func() {
		defer close(done)
		_ = l.RLock()
		sleepInKernel(wakeDelay)
		l.Unlock()
	}()
	return done
}
