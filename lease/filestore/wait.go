//go:build unix

package filestore

import (
	"context"
	"time"

	"berth/lease"
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
	l, err := t.pool.ticketLock(name)
	if err != nil {
		close(done) // it is gone
		return done
	}
	go func() {
		defer close(done)
		_ = l.RLock()
		l.Unlock()
	}()
	return done
}

func (t *place) waitHead(ctx context.Context) error {
	if t.watch == nil && !t.watchFailed {
		var w *watch
		d, err := t.pool.in(slots, true)
		if err == nil {
			w, err = newWatch(d)
		}
		t.watch, t.watchFailed = w, err != nil
		t.suspect, t.again = nil, len(t.pool.s.o.Again)
		if err == nil {
			return nil // look once more, for what happened before the watch began
		}
	}
	slots, err := t.await(ctx)
	switch {
	case len(slots) > 0: // before the end of ctx: nobody will tell us twice
		t.suspectAlso(slots)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil: // of the watch: look at all slots, then try another one
		t.closeWatch()
		t.suspect = nil
	case t.again < len(t.pool.s.o.Again):
		t.again++
	case !time.Now().Before(t.lookAt):
		t.suspect = nil
	}
	return nil
}

// looked is told what came of a look at the suspect slots.
func (t *place) looked(v lease.Verdict) {
	now := time.Now()
	if t.suspect == nil {
		t.lookAt = now.Add(t.pool.s.o.Head)
	}
	if t.watch != nil && t.again >= len(t.pool.s.o.Again) {
		t.suspect = map[int]bool{} // all were looked at; now events name them
	}
	t.pacedUntil = now.Add(v.After)
}

// await sleeps until a slot is closed, or for as long as the head has patience.
func (t *place) await(ctx context.Context) ([]int, error) {
	if t.watch != nil {
		return t.watch.wait(ctx, t.patience())
	}
	select {
	case <-time.After(t.patience()):
	case <-ctx.Done():
	}
	return nil, nil
}

// suspectAlso has the next look check these slots. Those of the last event are
// still suspect while that one is being followed up.
func (t *place) suspectAlso(slots []int) {
	if t.again >= len(t.pool.s.o.Again) {
		t.suspect = map[int]bool{}
	}
	t.again = 0
	for _, i := range slots {
		if i < 0 {
			t.suspect = nil
		}
		if t.suspect != nil {
			t.suspect[i] = true
		}
	}
}

// patience is how long the head sleeps without an event. A Wait that somebody
// ends ever again does not put off the look at all slots.
func (t *place) patience() time.Duration {
	o := &t.pool.s.o
	d := time.Until(t.lookAt)
	switch {
	case t.watch == nil:
		d = o.Poll
	case t.again < len(o.Again):
		d = o.Again[t.again]
	}
	if paced := time.Until(t.pacedUntil); paced > 0 {
		d = min(d, paced)
	}
	return d
}

// closeWatch closes the watch on the side, for that takes 10 to 20 ms. A head
// that got its slot does so only once the child runs: a fork in between would
// make the child's close-on-exec the last close, and the child wait for it.
func (t *place) closeWatch() {
	if t.watch != nil {
		go t.watch.close()
		t.watch = nil
	}
}
