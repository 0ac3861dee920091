//go:build unix

package filestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"berth/lease"
	"berth/lease/clock"
)

// A holding is the locks that its berth has on the files of its slots. While the job runs,
// only Renew writes there; the end of the job gives the locks back.

// holding is a lease of ours.
type holding struct {
	pool     *pool
	deferred func() // see afterStart; nil: nothing
	// adopter is this process if it has adopted the lease; nil: it is the owner.
	adopter *lease.Process

	mu    sync.Mutex // for all below; once the slots are freed, lease does not change
	lease lease.Lease
	files []*os.File // one per slot, locked; nil after Release
	stuck []stuckSlot
	inbox lease.Inbox
}

var errGivenBack = fmt.Errorf("%w: it was given back", lease.ErrLost)

func (h *holding) Lease() lease.Lease {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lease
}

// Expires implements lease.Holding.
func (h *holding) Expires() clock.Instant { return 0 }

// Running records the child in every slot. It needs no lock: no other process writes
// these bytes.
func (h *holding) Running(_ context.Context, child lease.Process) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.files == nil {
		return errGivenBack
	}
	if err := h.recordProcesses(&child); err != nil {
		return err
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
	// maxDeferral bounds how long deferred work waits for a child: a lease may stay
	// reserved for long.
	maxDeferral = 50 * time.Millisecond
)

// afterStart has f called once: after the child has started, or after maxDeferral. No
// other process may have to wait for f: we can be stopped, or end, before that.
func (h *holding) afterStart(f func()) {
	h.deferred = sync.OnceFunc(f)
	time.AfterFunc(maxDeferral, h.deferred)
}

// Renew writes the heartbeat. It returns ErrLost after Release, and if a slot's file is no
// longer the one that other processes see: something on its path was removed or replaced.
// The pool's lock file does not matter: a process that makes a new one counts the locked slots.
//
// The kernel holds the slot for as long as we live, renewed or not.
func (h *holding) Renew(context.Context, time.Duration) (lease.Inbox, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.files == nil {
		return h.inbox, errGivenBack
	}
	for i, f := range h.files {
		if path := h.pool.replaced(h.lease.Slots[i], f); path != "" {
			return h.inbox, fmt.Errorf("%w: %s was removed or replaced", lease.ErrLost, path)
		}
		if err := h.pool.s.writeHeartbeat(f); err != nil {
			return h.inbox, err
		}
	}
	f := h.files[0]
	r, err := h.ownRecord()
	if err != nil {
		return h.inbox, err
	}
	if h.adopter != nil && !h.isMine(r) {
		return h.inbox, fmt.Errorf("%w: the adoption is over", lease.ErrLost)
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
	if h.lease.Kept && h.adopter == nil {
		h.inbox.Release, h.inbox.Adopter = r != nil && r.release, h.adopterNow(r)
	}
	return h.inbox, nil
}

// ownRecord reads the record of the first slot; the caller has locked h.mu.
func (h *holding) ownRecord() (*record, error) {
	f := h.files[0]
	r, err := readRecord(f)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: f.Name(), Err: err}
	}
	return r, nil
}

// Release implements lease.Holding.
func (h *holding) Release(ctx context.Context) error { return h.release(ctx, false) }

// Unused implements lease.Holding. The slots go first, as in a release: if another process is
// frozen in the pool's lock, the start counts. The head of the line, which the free slots
// wake, may still find it counted; takeBack wakes it again.
func (h *holding) Unused(ctx context.Context) error { return h.release(ctx, true) }

func (h *holding) release(ctx context.Context, unused bool) error {
	if h.lease.Kept {
		return h.releaseKept(ctx, unused)
	}
	first, err := h.freeSlots()
	if !first {
		return nil
	}
	defer h.pool.s.sweep()
	defer h.pool.close()
	stuck := h.stuck
	if !unused && len(stuck) == 0 && ticketCountHint(h.pool.file) > 0 {
		return err // the waiter that was woken corrects the index, and would wait for us here
	}
	// The job is over: another process that is frozen in the pool's lock must not hold it up.
	// The index is left for others to correct then.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.pool.s.opts.Release)
	defer cancel()
	lerr := h.pool.locked(ctx, func(ix *index) error {
		h.unmark(ix)
		stuck = slices.DeleteFunc(stuck, func(s stuckSlot) bool { return !h.pool.checkSlot(s.number).beingReleased() })
		if unused {
			return h.takeBack(ix)
		}
		return nil
	})
	if errors.Is(lerr, context.DeadlineExceeded) {
		lerr = nil // the slots are free, and who holds the lock is no news of this job
	}
	return errors.Join(err, h.stuckSlots(stuck), lerr)
}

// unmark has the index say that the slots are free.
func (h *holding) unmark(ix *index) {
	for _, i := range h.lease.Slots {
		if i < len(ix.limits) && ix.limits[i] != 0 && h.pool.checkSlot(i).free() { // not taken again
			ix.mark(i, 0)
		}
	}
}

func (h *holding) stuckSlots(stuck []stuckSlot) (err error) {
	for _, s := range stuck {
		err = errors.Join(err, fmt.Errorf("cannot unlock slot %d of pool %s, which stays taken until what the command left behind has ended: %w", s.number, h.pool.name, s.err))
	}
	return err
}

// takeBack has the start count for no pace any more.
func (h *holding) takeBack(ix *index) error {
	if ix.line > 0 {
		_ = h.pool.wakeHead(anySlot) // before the change, see Set: the head waits for our lock
	}
	return h.pool.undoStart(ix, h.lease.Start)
}

// freeSlots gives the slots back, and reports whether no earlier call has.
func (h *holding) freeSlots() (first bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	first = h.files != nil
	for _, step := range h.releaseSteps() {
		err = errors.Join(err, step())
	}
	h.files = nil
	return first, err
}

// stuckSlot is a slot that could not be unlocked. Another process may have its lock, one that
// the command left behind.
type stuckSlot struct {
	number int
	err    error
}

// releaseSteps marks the slots free, wakes the head of the line, and unlocks them. The
// unlock is explicit: a daemon that the command left behind still has the descriptor, so
// the slot would stay locked when ours is closed.
//
// The head finds the slots marked and locked, and checks until they are free. If we woke it
// only after the unlock, it would stay asleep beside a free slot when we are stopped before
// that, or killed while such a daemon keeps the file open.
func (h *holding) releaseSteps() (steps []func() error) {
	add := func(step func() error) { steps = append(steps, step) }
	for _, f := range h.files {
		add(func() error { _ = writeFreeMark(f); return nil }) // an unlocked slot is free without it
	}
	for i := range h.files { // each: the head checks only the slots that are named
		add(func() error { return h.pool.wakeHead(strconv.Itoa(h.lease.Slots[i])) })
	}
	for i, f := range h.files {
		add(func() error {
			if err := unlock(f); err != nil { // the close may be enough
				h.stuck = append(h.stuck, stuckSlot{h.lease.Slots[i], err})
			}
			return nil
		})
		add(f.Close)
	}
	return steps
}
