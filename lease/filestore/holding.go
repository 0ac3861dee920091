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
	pool  *pool
	lease lease.Lease
	files []*os.File // one per slot, locked; nil after Release
	later func()     // what had better wait until the child runs, once; nil: nothing
	signs lease.Inbox
}

func (h *holding) Lease() lease.Lease { return h.lease }

// Expires implements lease.Holding.
func (h *holding) Expires() clock.Instant { return 0 }

// Running records the child in every slot. It needs no lock: nobody else
// writes these bytes.
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
	if h.later != nil {
		time.AfterFunc(afterStart, h.later)
	}
	return nil
}

const (
	// afterStart is how long a started child has the machine to itself before what
	// was put off is done: it needs 0.3 ms, and on two busy cores that would come
	// out of the child's start.
	afterStart = time.Millisecond
	// putOffAtMost: a lease may stay reserved for long.
	putOffAtMost = 50 * time.Millisecond
)

// putOff has f called once: when the child has started, and soon in any case.
// Nobody may have to wait for it: we can be stopped, or end, before that.
func (h *holding) putOff(f func()) {
	h.later = sync.OnceFunc(f)
	time.AfterFunc(putOffAtMost, h.later)
}

// Renew writes the heartbeat. ErrLost when a slot's file is no longer the one
// that everybody else sees: somebody removed the store under us.
//
// The kernel holds the slot, however long nobody renews it.
func (h *holding) Renew(context.Context, time.Duration) (lease.Inbox, error) {
	inPlace := h.pool.inPlace()
	for i, f := range h.files {
		if !inPlace || !h.pool.hasSlot(h.lease.Slots[i], f) {
			return h.signs, fmt.Errorf("%w: %s was removed or replaced", lease.ErrLost, f.Name())
		}
		if err := h.pool.s.beat(f); err != nil {
			return h.signs, err
		}
	}
	f := h.files[0]
	r, err := readRecord(f)
	if err != nil {
		return h.signs, &fs.PathError{Op: "read", Path: f.Name(), Err: err}
	}
	if r != nil && r.pulse != nil {
		h.signs.Keepalive = r.pulse.Keepalive
	}
	if at := h.pool.keptAlive(&h.lease); at > h.signs.Keepalive {
		h.signs.Keepalive = at
		// Into the record, which is what people read.
		if _, err := f.WriteAt(fmt.Appendf(nil, "%20d", at), keepaliveAt); err != nil {
			return h.signs, err
		}
	}
	if r != nil && r.stop != nil {
		h.signs.Stop = r.stop
	}
	return h.signs, nil
}

// Release gives the slots back, before it takes the pool's lock, which the head of
// the line, woken by that, may have by then.
//
// The order matters when we are killed in between. Marked free but locked: the
// lock goes with the last process that has it. Unlocked but in use in the
// index: the next who needs the room checks that against the lock.
func (h *holding) Release(ctx context.Context) error { return h.release(ctx, false) }

// Unused implements lease.Holding. The slots go first, as in a release: somebody may be
// frozen in the pool's lock, and the start counts then. The head of the line may find
// that it does; it is told to look again.
func (h *holding) Unused(ctx context.Context) error { return h.release(ctx, true) }

func (h *holding) release(ctx context.Context, unused bool) error {
	if h.files == nil {
		return nil
	}
	err := h.letGo()
	defer h.pool.s.sweep()
	defer h.pool.close()
	if !unused && lineHint(h.pool.file) > 0 {
		return err // whoever was woken checks the mark, and would wait for us here
	}
	// The job is over. If somebody is frozen in the pool's lock, it must not
	// hold us up for ever; the index is then left for others to check.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.pool.s.o.Release)
	defer cancel()
	lerr := h.pool.locked(ctx, func(ix *index) error {
		for _, i := range h.lease.Slots {
			if i < len(ix.limits) && ix.limits[i] != 0 && h.pool.look(i).free() { // nobody has it again
				ix.mark(i, 0)
			}
		}
		if unused {
			return h.takeBack(ix)
		}
		return nil
	})
	if errors.Is(lerr, context.DeadlineExceeded) {
		lerr = nil // the slots are free all the same, and who is stuck in the lock is no news of this job
	}
	return errors.Join(err, lerr)
}

// letGo gives the slots back.
func (h *holding) letGo() (err error) {
	for _, step := range h.goes() {
		err = errors.Join(err, step())
	}
	h.files = nil
	return err
}

// goes are the steps of a release: it marks the slots free, wakes the head of the
// line and unlocks them. It unlocks explicitly: a daemon that the command left
// behind still has the descriptor, and closing ours would leave the slot locked.
//
// The head finds them marked and locked, and looks until they are free. Woken
// after the unlock, it would sleep beside a free slot when we are stopped in
// between, or killed while such a daemon keeps the file from being closed.
func (h *holding) goes() (steps []func() error) {
	add := func(step func() error) { steps = append(steps, step) }
	for _, f := range h.files {
		add(func() error { _ = markFree(f); return nil }) // unlocked, it is free without
	}
	for i := range h.files { // each: the head looks only at what was named
		add(func() error { return h.pool.poke(strconv.Itoa(h.lease.Slots[i])) })
	}
	for i, f := range h.files {
		var failed error
		add(func() error { failed = unlock(f); return nil }) // closed as well, it is ours no more
		add(f.Close)
		add(func() error { return h.kept(h.lease.Slots[i], failed) })
	}
	return steps
}

// kept is the error of a slot that could not be unlocked, when something that the
// command left behind has its lock.
func (h *holding) kept(slot int, failed error) error {
	if failed == nil || !h.pool.leftLocked(slot) {
		return nil
	}
	return fmt.Errorf("cannot unlock slot %d of pool %s, which stays taken until what the command left behind has ended: %w", slot, h.pool.name, failed)
}

// leftLocked reports whether the slot is locked and says that it is free: nobody has
// taken it since. Who takes it just now says so after a moment.
func (p *pool) leftLocked(i int) bool {
	st := p.look(i)
	for try := 0; st.locked && st.record == nil && try < 5; try++ {
		time.Sleep(2 * time.Millisecond)
		st = p.look(i)
	}
	return st.locked && st.record == nil
}

// takeBack has the start count for no pace any more.
func (h *holding) takeBack(ix *index) error {
	if ix.line > 0 {
		_ = h.pool.poke(anySlot) // before, as in Set: the head waits for the lock that we have
	}
	return h.pool.undo(ix, h.lease.Start)
}
