//go:build unix

package filestore

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"berth/lease"
)

// The line is a chain: a waiter blocks in flock(2) on the ticket just before
// its own, so whatever happens in front of it wakes one process and the rest
// sleep in the kernel. Only the head watches the slots. (Watching only one's
// predecessor is how etcd's and ZooKeeper's lock recipes avoid the herd.)
//
// Waking means nothing but: look again, under the pool's lock.

// place is a ticket of ours. The zero predecessor means: we are the head.
type place struct {
	pool   *pool
	ticket lease.Ticket
	name   string
	own    *fileLock // held while we stand in the line

	listed  bool   // the line was read at index.change == change
	change  uint64 // then
	pred    string // the waiter before us then, "" for the head
	passing bool   // we passed a frozen waiter, who may go on at any moment

	slow   bool                     // the next look also asks whether the one before us is frozen
	blocks map[string]chan struct{} // tickets that we wait for, or once did and they still stand

	head head // of use once pred is ""

	size    int64 // of the ticket's file as far as we wrote or read it
	stopped bool  // somebody asked us to leave
}

// Ticket implements lease.Place.
func (t *place) Ticket() lease.Ticket { return t.ticket }

// TryAcquire implements lease.Place.
func (t *place) TryAcquire(ctx context.Context, asked lease.Clearance) (h lease.Holding, v lease.Verdict, err error) {
	var got *holding
	err = t.pool.locked(ctx, func(ix *index) error {
		if err := t.readNotes(ix); err != nil {
			return err
		}
		ahead, err := t.turn(ix)
		if err != nil {
			return err
		}
		if ahead > 0 {
			v = lease.Verdict{Reason: lease.Behind, Ahead: ahead}
			return nil
		}
		got, v, err = t.pool.take(ix, asking{t.ticket.Request, 0, asked}, t.head.survey.begin(), false)
		if got == nil {
			t.head.looked(&t.pool.s.o.Timings, v)
			return err
		}
		return t.pool.settle(ix, got, t.remove(ix))
	})
	if err != nil || got == nil {
		return nil, v, err // the next look puts the ticket back
	}
	if t.head.watch != nil {
		got.putOff(t.head.close)
	}
	return got, v, nil
}

// readNotes reads what others wrote into our ticket since we last looked, and
// puts the ticket back if somebody removed it. It runs under the same lock as
// the decision, so a stop that was asked for is not overtaken by a grant.
func (t *place) readNotes(ix *index) error {
	st, err := t.pool.stat(line, t.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		t.own.Unlock()
		ix.line++
		ix.change++
		t.listed = false
		if err := ix.save(); err != nil {
			return err
		}
		return t.write(anew)
	case err != nil:
		return err
	case st.Size == t.size:
		return nil
	}
	t.size = st.Size
	if st, err := t.pool.lookTicket(t.name); err == nil && st.stop != nil {
		t.stopped = true
		return &lease.StoppedError{Stop: *st.stop}
	}
	return nil
}

// turn returns 0 when it is this ticket's turn, else how many come before it.
func (t *place) turn(ix *index) (int, error) {
	if t.listed && t.change == ix.change && !t.passing && !t.slow {
		// Nothing happened but joins at the end and heads that left.
		if t.pred == "" {
			return 0, nil
		}
		if _, err := t.pool.stat(line, t.pred); errors.Is(err, fs.ErrNotExist) {
			t.pred = ""
			t.head.survey.all = true
			return 0, nil
		}
	}
	was := t.pred
	pred, ahead, passed, err := t.pool.before(ix, t.name, t.slow || t.passing)
	if err != nil {
		return 0, err
	}
	if pred == "" && (was != "" || !t.listed) {
		t.head.survey.all = true // nobody has looked at the slots for us yet
	}
	t.listed, t.change, t.pred, t.passing, t.slow = true, ix.change, pred, passed, false
	return ahead, nil
}

// remove takes the ticket out of the line and lets the next one look, which comes
// to wait for the pool's lock that we have. Put off until that is free, a stop in
// between would keep it asleep, and nobody sees why: who is stopped with the
// pool's lock is told of.
func (t *place) remove(ix *index) error {
	if !t.listed || t.pred != "" || t.passing || t.change != ix.change {
		if err := t.pool.willRemove(ix); err != nil {
			return err
		}
	}
	d, err := t.pool.in(line, false)
	if err == nil {
		err = d.removeIf(t.name, t.own)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist): // it was swept, and counted then
	case err != nil:
		return err
	case ix.line > 0:
		ix.line--
	}
	t.own.Unlock()
	return nil
}

// Leave implements lease.Place.
func (t *place) Leave(ctx context.Context) error {
	err := t.pool.locked(ctx, func(ix *index) error {
		if t.ticket.Key != "" && t.readNotes(ix) == nil && !t.stopped {
			if err := t.pool.note(t.name, t.pool.asideNow(true)); err != nil {
				return err
			}
			t.own.Unlock()
			return nil
		}
		return t.remove(ix)
	})
	t.own.Unlock() // also when the pool's lock was not to be had
	t.head.close()
	t.pool.close()
	return err
}

// StepAside implements lease.Place.
func (t *place) StepAside(ctx context.Context) error {
	return t.pool.locked(ctx, func(*index) error {
		if err := t.pool.note(t.name, t.pool.asideNow(false)); err != nil {
			return err
		}
		t.own.Unlock() // here, as in remove
		return nil
	})
}

// Return implements lease.Place.
func (t *place) Return(ctx context.Context) error {
	// Outside of the pool's lock, because somebody who waited for this ticket
	// may have its lock for a moment. Standing again before the note says so
	// is harmless: who looks waits for us.
	for ok := false; !ok; {
		var err error
		if t.own, err = t.pool.ticketLock(t.name); err == nil {
			ok, err = t.own.TryLock()
		}
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed meanwhile: TryAcquire puts it back
			ok = true
		case err != nil:
			return err
		case !ok && ctx.Err() != nil:
			return context.Cause(ctx)
		case !ok:
			time.Sleep(time.Millisecond)
		}
	}
	return t.pool.locked(ctx, func(ix *index) error {
		t.listed = false
		ix.change++ // who passed us is behind us again
		err := t.pool.note(t.name, &aside{Back: true})
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}
