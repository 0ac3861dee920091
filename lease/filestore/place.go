//go:build unix

package filestore

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"berth/lease"
)

// The line is a chain: a waiter blocks in flock(2) on the ticket just before its own, so
// a hand-over wakes one process, and the others sleep in the kernel. Only the head
// watches the slots. (The lock recipes of etcd and ZooKeeper watch only the predecessor, too,
// to avoid a herd.)
//
// To be woken means nothing more than to decide again, under the pool's lock.

// place is a ticket of ours.
type place struct {
	pool   *pool
	ticket lease.Ticket
	name   string
	lock   *fileLock // held while we stand in the line

	at          position
	checkFrozen bool                     // the next scan of the line finds out which waiters are stopped
	blocked     map[string]chan struct{} // see blockOn
	head        head                     // used once at.pred is ""

	size int64       // of the ticket's file, as far as we wrote or read it
	stop *lease.Stop // it was told to leave the line
}

// position is where a waiter stood at its last scan of the line.
type position struct {
	front
	known  bool   // false: the line has to be scanned
	change uint64 // index.change at the scan
}

// upToDate reports whether nothing has happened since but joins at the end and heads
// that left. A frozen waiter that was passed may continue at any moment.
func (at position) upToDate(ix *index) bool {
	return at.known && at.change == ix.change && !at.passedFrozen
}

// Ticket implements lease.Place.
func (t *place) Ticket() lease.Ticket { return t.ticket }

// TryAcquire implements lease.Place.
func (t *place) TryAcquire(ctx context.Context, c lease.Clearance) (h lease.Holding, v lease.Verdict, err error) {
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
		got, v, err = t.pool.take(ix, candidate{Request: t.ticket.Request, clearance: c}, t.head.scan.begin(), false)
		if got == nil {
			if err == nil || errors.As(err, new(*lease.DamagedError)) { // else not all slots were checked
				t.head.onChecked(&t.pool.s.opts.Timings, v)
			}
			return err
		}
		err = t.remove(ix) // before the index is saved: it counts the tickets
		return t.pool.commit(ix, got, err)
	})
	if err != nil || got == nil {
		return nil, v, err // if the ticket is removed already, the next try puts it back
	}
	if t.head.watch != nil {
		got.afterStart(t.head.close)
	}
	return got, v, nil
}

// readNotes reads what others have written into our ticket since the last try, and puts
// the ticket back if it was removed. It runs under the same lock as the decision, so no
// grant can overtake a stop.
func (t *place) readNotes(ix *index) error {
	st, err := t.pool.stat(line, t.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		t.lock.Unlock()
		ix.line++
		ix.change++
		t.at.known = false
		if err := ix.save(); err != nil {
			return err
		}
		return t.writeTicket(creatingNew)
	case err != nil:
		return err
	case st.Size != t.size:
		own, err := t.pool.readTicket(t.name, false)
		if err != nil {
			return err // it may be a stop that we cannot read
		}
		t.size, t.stop = st.Size, own.stop
	}
	if t.stop != nil {
		return &lease.StoppedError{Stop: *t.stop}
	}
	return nil
}

// turn returns 0 when it is this ticket's turn, else how many come before it.
func (t *place) turn(ix *index) (int, error) {
	if t.at.upToDate(ix) && !t.checkFrozen {
		if t.at.pred == "" {
			return 0, nil
		}
		if _, err := t.pool.stat(line, t.at.pred); errors.Is(err, fs.ErrNotExist) {
			t.at.front = front{}
			t.head.scan.all = true
			return 0, nil
		}
	}
	wasHead := t.at.known && t.at.pred == ""
	f, err := t.pool.scanLine(ix, t.name, t.checkFrozen || t.at.passedFrozen)
	if err != nil {
		return 0, err
	}
	if f.pred == "" && !wasHead {
		t.head.scan.all = true // no slot has been checked for us yet
	}
	t.at, t.checkFrozen = position{f, true, ix.change}, false
	return f.ahead, nil
}

// remove takes the ticket out of the line and wakes the waiter behind, which then waits
// for the pool's lock that we have. If it were woken only after that lock is free, a
// stop in between would keep it asleep, and nobody could see why. A process that is
// stopped with the pool's lock held is reported.
func (t *place) remove(ix *index) error {
	if !t.at.upToDate(ix) || t.at.pred != "" {
		if err := t.pool.announceRemoval(ix); err != nil {
			return err
		}
	}
	d, err := t.pool.in(line, false)
	if err == nil {
		err = d.removeIf(t.name, t.lock)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist): // it was swept, and the count lowered then
	case err != nil:
		return err
	case ix.line > 0:
		ix.line--
	}
	t.lock.Unlock()
	return nil
}

// Leave implements lease.Place.
func (t *place) Leave(ctx context.Context) error {
	err := t.pool.locked(ctx, func(ix *index) error {
		if t.ticket.Key != "" && t.readNotes(ix) == nil {
			if err := t.pool.noteAside(t.name, t.pool.asideNow(true)); err != nil {
				return err
			}
			t.lock.Unlock()
			return nil
		}
		return t.remove(ix)
	})
	t.lock.Unlock() // even if the pool's lock could not be acquired
	t.head.close()
	t.pool.close()
	return err
}

// StepAside implements lease.Place.
func (t *place) StepAside(ctx context.Context) error {
	return t.pool.locked(ctx, func(*index) error {
		if err := t.pool.noteAside(t.name, t.pool.asideNow(false)); err != nil {
			return err
		}
		t.lock.Unlock() // here, as in remove
		return nil
	})
}

// Return implements lease.Place.
func (t *place) Return(ctx context.Context) error {
	// Without the pool's lock, because a waiter behind this ticket may have its lock for a
	// moment. To have it before the note is written is harmless: others wait for us.
	ok := false
	for try := 0; !ok && try < ticketTries; try++ {
		var err error
		if t.lock, err = t.pool.ticketLock(t.name); err == nil {
			ok, err = t.lock.TryLock()
		}
		switch {
		case errors.Is(err, fs.ErrNotExist): // it was removed: TryAcquire puts it back
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
		t.at.known = false
		ix.change++ // waiters that passed us are behind us again
		if !ok {
			return t.replaceFile(ix)
		}
		err := t.pool.noteAside(t.name, &aside{Back: true})
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// ticketTries is how often, a millisecond apart, the lock of a ticket without a waiter is
// tried. A waiter that wakes up has it for wakeDelay, unless it is stopped then.
const ticketTries = 100

// replaceFile makes the file of our ticket again, because a stopped waiter has the lock of the
// old one. The name stays, and the place with it. No waiter sleeps on the old file: all
// take shared locks.
func (t *place) replaceFile(ix *index) error {
	if err := t.readNotes(ix); err != nil && t.stop == nil {
		return err
	}
	if err := t.pool.announceRemoval(ix); err != nil {
		return err
	}
	if err := t.pool.removeTicket(t.name); err != nil {
		return err
	}
	return t.writeTicket(creatingNew)
}
