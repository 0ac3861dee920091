//go:build unix

package filestore

import (
	"context"
	"time"
)

// Wait implements lease.Place. It sleeps in the kernel: behind others in
// flock(2) on the ticket before ours, as the head on events of the slots.
// Every now and then it looks by itself, for what makes no event: a waiter
// that is frozen, a process that cannot be followed, an event that was lost.
func (t *place) Wait(ctx context.Context) error {
	if t.pred != "" {
		return t.waitBehind(ctx)
	}
	return t.waitHead(ctx)
}

func (t *place) waitBehind(ctx context.Context) error {
	t.head.close()
	look := time.NewTimer(t.pool.s.o.Look)
	defer look.Stop()
	select {
	case <-t.block(t.pred):
		delete(t.blocks, t.pred)
		return nil
	case <-look.C:
		t.slow = true
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// settle is how long the next in the line sleeps on after it was woken. A winner
// lets its ticket go together with its grant: put off until its child runs, a stop
// or a slow moment in between would keep the next one from a slot that is free.
// But to become the head takes 0.3 ms of a CPU, and on two busy cores these would
// come out of the start of that child.
const settle = 2 * time.Millisecond

// block returns a channel that is closed when the ticket name is no longer
// held. The lock is asked for shared, so that those who wait for the same
// ticket, and those who look at it, do not wait for each other.
//
// A goroutine whose result is not wanted any more sleeps on until that ticket
// goes, and takes a thread with it. It is kept for when we wait for the same
// ticket again: one that is stopped and continued a hundred times costs one.
func (t *place) block(name string) <-chan struct{} {
	if done, ok := t.blocks[name]; ok {
		return done
	}
	for n, done := range t.blocks {
		select {
		case <-done:
			delete(t.blocks, n)
		default:
		}
	}
	done := make(chan struct{})
	if t.blocks == nil {
		t.blocks = map[string]chan struct{}{}
	}
	t.blocks[name] = done
	l, err := t.pool.ticketLock(name)
	if err != nil {
		close(done) // it is gone
		return done
	}
	go func() {
		defer close(done)
		_ = l.RLock()
		doze(settle)
		l.Unlock()
	}()
	return done
}
