package wait

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"berth/cmd/text"
	"berth/lease"
	"berth/lease/retry"
)

// Until is a condition of a pool that one can wait for. The zero value: no slot is in use.
type Until struct {
	Fewer int  // fewer than so many slots are in use; 0 counts as 1
	Any   bool // instead: a job that held slots at the beginning has ended, or there was none
}

// Holds reports whether the condition holds now. first is the pool as it was at the beginning.
// Waiters do not matter: those of a drained pool keep their places for as long as it takes. A
// pool that could not be read, or that may have forgotten holders, decides nothing.
func (u Until) Holds(first, now *lease.Pool) bool {
	switch {
	case !decides(first) || !decides(now):
		return false
	case !u.Any:
		return now.Used < max(u.Fewer, 1)
	}
	return len(first.Holders) == 0 || slices.ContainsFunc(first.Holders, func(h lease.Entry) bool { return !stillHeld(h, now) })
}

func decides(p *lease.Pool) bool { return p.LockHeldBy == "" && p.RecoveringFor <= 0 }

// stillHeld reports whether a job that held slots may hold them now. If a record cannot be
// read, or could not be read then, its slots are all that is known of it.
func stillHeld(was lease.Entry, now *lease.Pool) bool {
	return slices.ContainsFunc(now.Holders, func(h lease.Entry) bool {
		if h.ID() != "" && was.ID() != "" {
			return h.ID() == was.ID()
		}
		return slices.ContainsFunc(h.Lease.Slots, func(i int) bool { return slices.Contains(was.Lease.Slots, i) })
	})
}

func (u Until) String() string {
	switch {
	case u.Any:
		return "for one of its jobs to end"
	case u.Fewer > 1:
		return fmt.Sprintf("for fewer than %d slots in use", u.Fewer)
	}
	return "to be idle"
}

// Watcher waits until a condition of a pool holds, without a place in its line.
type Watcher struct {
	Store      lease.Store
	Pool       string
	Until      Until
	AtMost     time.Duration       // 0: it looks once; negative: as long as it takes
	Trouble    func(error)         // is told that the store cannot be reached and is tried again
	Recovering func(time.Duration) // is told that the store may have forgotten holders, and for how long
	Seen       func(*lease.Pool)   // is told what the first look has found
	Progress   *Progress           // nil: a person is told nothing
}

// NotYetError says that the condition did not come to hold in time.
type NotYetError struct {
	Pool  string
	Until Until
	Last  *lease.Pool // as it was seen last
	After time.Duration
}

func (e *NotYetError) Error() string {
	switch p := e.Last; {
	case p.LockHeldBy != "":
		return p.LockHeldBy
	case p.RecoveringFor > 0:
		return fmt.Sprintf("pool %s: the store is new or was restarted, and may have forgotten jobs, which register again within %s", e.Pool, text.Duration(p.RecoveringFor))
	case e.Until.Any && e.After == 0:
		return fmt.Sprintf("pool %s: no job has ended", e.Pool)
	case e.Until.Any:
		return fmt.Sprintf("pool %s: no job has ended in %v", e.Pool, e.After)
	case e.After == 0:
		return fmt.Sprintf("pool %s has %s in use", e.Pool, text.Plural(p.Used, "slot"))
	}
	return fmt.Sprintf("pool %s still has %s in use after %v", e.Pool, text.Plural(e.Last.Used, "slot"), e.After)
}

// GoneError says that a pool is not where it was when the wait began, so nothing tells of its
// jobs any more.
type GoneError struct {
	Pool string
	Dir  string
}

func (e *GoneError) Error() string {
	return fmt.Sprintf("pool %s: %s was removed, moved or replaced; its jobs may still run", e.Pool, e.Dir)
}

// unreadable is how long a pool that could not be read is left alone.
const unreadable = time.Second

// Wait returns nil once the condition holds, *NotYetError when that did not come in time, and
// otherwise what kept it from finding out. It leaves nothing behind.
func (w *Watcher) Wait(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	until := time.Now().Add(w.AtMost)
	var over <-chan time.Time
	if w.AtMost > 0 {
		over = time.After(w.AtMost)
	}
	changes, err := w.changes(ctx, until) // from before the first look, so that nothing is missed
	if err != nil {
		return err
	}
	display := w.Progress.begin(func(lease.Ticket) (*lease.Pool, error) { return w.look(ctx, time.Now().Add(time.Second), nil) })
	defer display.end()
	var first *lease.Pool
	var dir lease.Dir
	for said := false; ; {
		now, err := w.look(ctx, until, w.Trouble)
		if err != nil {
			return err
		}
		switch {
		case dir == lease.Dir{}:
			dir = now.Dir
		case decides(now) && now.Dir != dir: // else it need not say where it is
			return &GoneError{w.Pool, dir.Path}
		}
		if first == nil && decides(now) {
			first = now
			w.Seen(now)
		}
		if first != nil && w.Until.Holds(first, now) {
			return nil
		}
		if w.AtMost >= 0 && !time.Now().Before(until) { // this process may have been suspended for long
			return &NotYetError{w.Pool, w.Until, now, w.AtMost}
		}
		if now.RecoveringFor > 0 && !said {
			said = true
			w.Recovering(now.RecoveringFor)
		}
		select {
		case <-changes:
		case <-again(now):
		case <-over:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// again fires when a pool is to be looked at again although nothing tells that it has changed.
func again(p *lease.Pool) <-chan time.Time {
	switch {
	case decides(p):
		return nil
	case p.RecoveringFor > 0:
		return time.After(p.RecoveringFor)
	}
	return time.After(unreadable)
}

func (w *Watcher) changes(ctx context.Context, until time.Time) (changes <-chan struct{}, err error) {
	err = w.persist(ctx, until, w.Trouble, func(context.Context) (err error) {
		changes, err = w.Store.Watch(ctx, w.Pool)
		return err
	})
	return changes, err
}

func (w *Watcher) look(ctx context.Context, until time.Time, trouble func(error)) (found *lease.Pool, err error) {
	err = w.persist(ctx, until, trouble, func(ctx context.Context) error {
		p, err := w.Store.Summary(ctx, w.Pool, lease.Ticket{})
		var held *lease.LockHeldError
		switch {
		case errors.As(err, &held):
			p, err = lease.Pool{Name: w.Pool, LockHeldBy: held.Error()}, nil
		case err != nil:
			return err
		}
		found = &p
		return nil
	})
	return found, err
}

// persist repeats f through an outage of a server, until the time is over. Even then f has a
// moment for an answer.
func (w *Watcher) persist(ctx context.Context, until time.Time, trouble func(error), f func(context.Context) error) error {
	if w.AtMost < 0 && trouble != nil {
		return retry.Do(ctx, trouble, f)
	}
	if soon := time.Now().Add(answers); until.Before(soon) {
		until = soon
	}
	short, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	if w.AtMost == 0 {
		return f(short)
	}
	return retry.Do(short, trouble, f)
}
