//go:build unix

package filestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"sync"
	"time"

	"berth/lease"
	"berth/lease/clock"
)

// holding is a lease of ours.
type holding struct {
	pool     *pool
	lease    lease.Lease
	files    []*os.File // one per slot, locked; nil after Release
	deferred func()     // see afterStart; nil: nothing
	inbox    lease.Inbox
}

func (h *holding) Lease() lease.Lease { return h.lease }

// Expires implements lease.Holding.
func (h *holding) Expires() clock.Instant { return 0 }

// Running records the child in every slot. It needs no lock: no other process writes
// these bytes.
func (h *holding) Running(_ context.Context, child lease.Process) error {
	line, err := childLine(&child)
	if err != nil {
		return err
	}
	for _, f := range h.files {
		if _, err := f.WriteAt(line, childAt); err != nil {
			return err
		}
	}
	h.lease.Child, h.lease.State = &child, lease.Running
	if h.deferred != nil {
		time.AfterFunc(startTime, h.deferred)
	}
	return nil
}

const (
	// startTime is how long a child has the machine to itself. It needs 0.3 ms to start,
	// and on two busy cores other work would come out of that.
	startTime = time.Millisecond
	// mostReserved bounds how long deferred work waits for a child: a lease may stay
	// reserved for long.
	mostReserved = 50 * time.Millisecond
)

// afterStart has f called once: after the child has started, or after mostReserved. No
// other process may have to wait for f: we can be stopped, or end, before that.
func (h *holding) afterStart(f func()) {
	h.deferred = sync.OnceFunc(f)
	time.AfterFunc(mostReserved, h.deferred)
}

// Renew writes the heartbeat. It returns ErrLost if a slot's file is no longer the one
// that other processes see: the store was removed or replaced.
//
// The kernel holds the slot for as long as we live, renewed or not.
func (h *holding) Renew(context.Context, time.Duration) (lease.Inbox, error) {
	inPlace := h.pool.inPlace()
	for i, f := range h.files {
		if !inPlace || !h.pool.hasSlot(h.lease.Slots[i], f) {
			return h.inbox, fmt.Errorf("%w: %s was removed or replaced", lease.ErrLost, f.Name())
		}
		if err := h.pool.s.writeHeartbeat(f); err != nil {
			return h.inbox, err
		}
	}
	f := h.files[0]
	r, err := readRecord(f)
	if err != nil {
		return h.inbox, &fs.PathError{Op: "read", Path: f.Name(), Err: err}
	}
	if r != nil && r.heartbeat != nil {
		h.inbox.Keepalive = r.heartbeat.Keepalive
	}
	if at := h.pool.readKeepalive(&h.lease); at > h.inbox.Keepalive {
		h.inbox.Keepalive = at
		// Into the record as well, for those who read it.
		if _, err := f.WriteAt(fmt.Appendf(nil, "%20d", at), keepaliveAt); err != nil {
			return h.inbox, err
		}
	}
	if r != nil && r.stop != nil {
		h.inbox.Stop = r.stop
	}
	return h.inbox, nil
}

// Release implements lease.Holding.
func (h *holding) Release(ctx context.Context) error { return h.release(ctx, false) }

// Unused implements lease.Holding. The slots go first, as in a release: if another process is
// frozen in the pool's lock, the start counts. The head of the line, which the free slots
// wake, may still find it counted; takeBack wakes it again.
func (h *holding) Unused(ctx context.Context) error { return h.release(ctx, true) }

func (h *holding) release(ctx context.Context, unused bool) error {
	if h.files == nil {
		return nil
	}
	err := h.freeSlots()
	defer h.pool.s.sweep()
	defer h.pool.close()
	if !unused && ticketCountHint(h.pool.file) > 0 {
		return err // the waiter that was woken corrects the index, and would wait for us here
	}
	// The job is over: another process that is frozen in the pool's lock must not hold it up.
	// The index is left for others to correct then.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.pool.s.opts.Release)
	defer cancel()
	lerr := h.pool.locked(ctx, func(ix *index) error {
		for _, i := range h.lease.Slots {
			if i < len(ix.limits) && ix.limits[i] != 0 && h.pool.checkSlot(i).free() { // not taken again
				ix.mark(i, 0)
			}
		}
		if unused {
			return h.takeBack(ix)
		}
		return nil
	})
	if errors.Is(lerr, context.DeadlineExceeded) {
		lerr = nil // the slots are free, and who holds the lock is no news of this job
	}
	return errors.Join(err, lerr)
}

// takeBack has the start count for no pace any more.
func (h *holding) takeBack(ix *index) error {
	if ix.line > 0 {
		_ = h.pool.wakeHead(anySlot) // before the change, see Set: the head waits for our lock
	}
	return h.pool.undoStart(ix, h.lease.Start)
}

// freeSlots gives the slots back.
func (h *holding) freeSlots() (err error) {
	for _, step := range h.releaseSteps() {
		err = errors.Join(err, step())
	}
	h.files = nil
	return err
}

// releaseSteps marks the slots free, wakes the head of the line, and unlocks them. The
// unlock is explicit: a daemon that the command left behind still has the descriptor, so
// the slot would stay locked when ours is closed.
//
// The head finds the slots marked and locked, and checks until they are free. Woken
// after the unlock, it would stay asleep beside a free slot if we were stopped in
// between, or killed while such a daemon keeps the file open.
func (h *holding) releaseSteps() (steps []func() error) {
	add := func(step func() error) { steps = append(steps, step) }
	for _, f := range h.files {
		add(func() error { _ = writeFreeMark(f); return nil }) // an unlocked slot is free without it
	}
	for i := range h.files { // each: the head checks only the slots that are named
		add(func() error { return h.pool.wakeHead(strconv.Itoa(h.lease.Slots[i])) })
	}
	for i, f := range h.files {
		var failed error
		add(func() error { failed = unlock(f); return nil }) // closed below, it is not ours any more
		add(f.Close)
		add(func() error { return h.stillLocked(h.lease.Slots[i], failed) })
	}
	return steps
}

// stillLocked is the error of a slot that could not be unlocked, if a process that the
// command left behind has its lock.
func (h *holding) stillLocked(slot int, failed error) error {
	if failed == nil || !h.pool.leftLocked(slot) {
		return nil
	}
	return fmt.Errorf("cannot unlock slot %d of pool %s, which stays taken until what the command left behind has ended: %w", slot, h.pool.name, failed)
}

// leftLocked reports whether the slot is locked and marked free: nobody has taken it
// since. A process that is just taking it writes its lease within a moment.
func (p *pool) leftLocked(i int) bool {
	st := p.checkSlot(i)
	for try := 0; st.beingReleased() && try < 5; try++ {
		time.Sleep(2 * time.Millisecond)
		st = p.checkSlot(i)
	}
	return st.beingReleased()
}
