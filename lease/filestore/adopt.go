//go:build unix

package filestore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"berth/lease"
)

// A kept lease has two owners at times: its keeper, and the process that has adopted it. Their
// locks on the slots are shared ones, so each of them holds the slots by itself, and what the
// adopter starts inherits its descriptors as any job does. Checks of a slot take an exclusive
// lock, also those of a berth that knows no kept leases.
//
// Who has adopted a lease is in its record, beside the child. Until there is a child, the
// adopter is recorded as the child, too: a berth that knows no adopters then waits for its end.
// The record of the first slot decides, and is written last: once it names no adopter, no slot
// does.

// adoption is the Holding of an adopter.
type adoption struct{ *holding }

// Adopt implements lease.Store. The keeper and the adopter have to see each other's
// processes: a kept lease is given back once nothing runs under it.
func (s *Store) Adopt(ctx context.Context, id string, adopter lease.Process) (lease.Holding, error) {
	p, err := s.poolOf(id)
	if err != nil {
		return nil, err
	}
	var a *holding
	err = p.find(ctx, id, func(m match) (err error) {
		a, err = m.adopt(adopter)
		return err
	})
	if err != nil {
		p.close()
		return nil, err
	}
	return adoption{a}, nil
}

// adopt needs the pool's lock: neither the keeper nor another adopter decides in between.
func (m match) adopt(adopter lease.Process) (*holding, error) {
	switch l := m.lease; {
	case l == nil:
		return nil, lease.WaitsError(m.ticket.ID)
	case !l.Kept:
		return nil, fmt.Errorf("%s: %w", l.ID, lease.ErrNotKept)
	case l.Owner.Boot != adopter.Boot || l.Owner.PIDNS != adopter.PIDNS:
		return nil, fmt.Errorf("lease %s is kept by pid %d on %s, on another machine or in another container: a command under it can only run there", l.ID, l.Owner.PID, l.Owner.Host)
	}
	h := &holding{pool: m.pool, lease: *m.lease, adopter: &adopter}
	h.lease.Adopter, h.lease.Child, h.lease.State = &adopter, nil, lease.Reserved
	if err := h.lockShared(); err != nil {
		return nil, errors.Join(err, h.closeFiles())
	}
	for _, i := range h.lease.Slots { // the keeper may be gone, and the index know that
		m.ix.mark(i, slotState{record: m.record}.limit())
	}
	if err := h.recordProcesses(nil); err != nil {
		_ = h.clearProcesses() // what was written; else it ends with this process
		return nil, errors.Join(err, h.closeFiles())
	}
	for i, f := range h.files {
		h.files[i] = aboveCaller(f)
	}
	return h, nil
}

// lockShared opens and locks the slots, unless another process has adopted their lease.
func (h *holding) lockShared() error {
	for i, slot := range h.lease.Slots {
		f, r, err := h.pool.openID(location{slots, strconv.Itoa(slot)}, h.lease.ID, writing)
		if err != nil {
			return err // a release was interrupted here
		}
		h.files = append(h.files, f)
		if i == 0 {
			by, state := h.pool.adopted(r)
			if state == unclear { // its keeper settles it, if that lives
				if free, err := alone(f); err == nil && free {
					by = nil
				}
			}
			if by != nil && !same(by.Adopter, *h.adopter) {
				return by
			}
		}
		if got, err := flockNB(f, unix.LOCK_SH); err != nil || !got {
			return errors.Join(err, fmt.Errorf("cannot lock slot %d of pool %s, which another process has locked for itself", slot, h.pool.name))
		}
	}
	return nil
}

// closeFiles wakes the head of the line and gives the locks back, in this order and explicitly as
// in releaseSteps. If the keeper was killed, that frees the slots: the head then checks a slot that
// has neither owner until it is free.
func (h *holding) closeFiles() (err error) {
	for i := range h.files {
		err = errors.Join(err, h.pool.wakeHead(strconv.Itoa(h.lease.Slots[i])))
	}
	for _, f := range h.files {
		err = errors.Join(err, unlock(f), f.Close())
	}
	h.files = nil
	return err
}

// recordProcesses writes the child and the adopter into every slot, into the first one last.
func (h *holding) recordProcesses(child *lease.Process) error {
	line, err := childLine(child, h.adopter)
	if err != nil {
		return err
	}
	return h.writeProcesses(line)
}

func (h *holding) clearProcesses() error {
	line, err := childLine(nil, nil)
	if err != nil {
		return err
	}
	return h.writeProcesses(line)
}

func (h *holding) writeProcesses(line []byte) error {
	for i := len(h.files) - 1; i >= 0; i-- {
		if _, err := h.files[i].WriteAt(line, childAt); err != nil {
			return err
		}
	}
	return nil
}

// adoptionState is what is known of an adoption.
type adoptionState int

const (
	notAdopted adoptionState = iota // or the adopter and its child are gone
	isAdopted
	// unclear: the adopter was killed and has recorded no child. If there is one, it has not
	// become its command yet, for its environment does not tell; but it has the adopter's lock.
	unclear
)

// adopted says whether the lease of r is adopted, and who has adopted it, nil if it is not.
func (p *pool) adopted(r *record) (*lease.AdoptedError, adoptionState) {
	if r == nil || r.adopter == nil {
		return nil, notAdopted
	}
	by := &lease.AdoptedError{ID: r.lease.ID, Adopter: *r.adopter, Child: r.child}
	switch {
	case p.s.opts.Alive(*r.adopter), r.child != nil && p.s.opts.Alive(*r.child):
		return by, isAdopted
	case r.child != nil:
		return nil, notAdopted
	}
	if by.Child = p.runBy(*r.adopter); by.Child != nil {
		return by, isAdopted
	}
	return by, unclear
}

// alone reports whether no other process has a lock on the slot of f, where we have a shared
// one or none. It leaves an exclusive lock then, else a shared one. For a moment there is no
// lock, so it needs the pool's.
func alone(f *os.File) (bool, error) {
	got, err := tryLock(f)
	if !got && err == nil {
		_, err = flockNB(f, unix.LOCK_SH)
	}
	return got, err
}

// settle says who has adopted our lease, nil if no process has, and clears what a killed adopter
// has left. It needs the pool's lock, and the caller has locked h.mu.
func (h *holding) settle() (*lease.AdoptedError, error) {
	if h.files == nil {
		return nil, nil
	}
	r, err := h.ownRecord()
	if err != nil {
		return nil, err
	}
	by, state := h.pool.adopted(r)
	if state != unclear {
		return by, nil
	}
	if free, err := alone(h.files[0]); err != nil || !free {
		return by, err
	}
	err = h.clearProcesses()
	_, lerr := flockNB(h.files[0], unix.LOCK_SH)
	return nil, errors.Join(err, lerr)
}

// adopterNow is the adopter of our lease; the caller has locked h.mu. What a killed adopter has left
// is cleared if the pool's lock is to be had at once, else at a later heartbeat.
func (h *holding) adopterNow(r *record) *lease.Process {
	by, state := h.pool.adopted(r)
	if state == unclear {
		h.pool.ifNotLocked(func() {
			if now, err := h.settle(); err == nil {
				by = now
			}
		})
	}
	if by == nil {
		return nil
	}
	return &by.Adopter
}

// Release implements lease.Holding. It needs no lock of the pool, and so no other process holds
// it up: until the record is cleared the lease is adopted, and from then on it is not.
func (a adoption) Release(context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.files == nil {
		return nil
	}
	defer a.pool.close()
	var err error
	if r, rerr := a.ownRecord(); rerr == nil && a.isMine(r) { // else another process has it by now
		err = a.clearProcesses()
	}
	return errors.Join(err, a.closeFiles())
}

// same compares two adopters of a lease, which are on one machine.
func same(a, b lease.Process) bool { return a.PID == b.PID && a.Start == b.Start }

// isMine reports whether the lease is still that of this holding.
func (h *holding) isMine(r *record) bool {
	switch {
	case r == nil || r.lease == nil || r.lease.ID != h.lease.ID:
		return false
	case h.adopter != nil:
		return r.adopter != nil && same(*r.adopter, *h.adopter)
	}
	return true
}

// Unused implements lease.Holding. The start of a kept lease is that of its keeper.
func (a adoption) Unused(ctx context.Context) error { return a.Release(ctx) }

// releaseKept gives a kept lease back, unless it is adopted. Both are decided about under the
// pool's lock, so it can fail because another process has that; then nothing has changed.
func (h *holding) releaseKept(ctx context.Context, unused bool) error {
	if h.released() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.pool.s.opts.Release)
	defer cancel()
	first := false
	err := h.pool.locked(ctx, func(ix *index) (err error) {
		h.mu.Lock()
		by, err := h.settle()
		h.mu.Unlock()
		if by != nil {
			return by
		}
		if err != nil {
			return err
		}
		if first, err = h.freeSlots(); !first {
			return err
		}
		h.unmark(ix)
		if unused {
			err = errors.Join(err, h.takeBack(ix))
		}
		return errors.Join(err, h.stuckSlots(h.stuck))
	})
	if first {
		h.pool.s.sweep()
		h.pool.close()
	}
	return err
}

func (h *holding) released() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.files == nil
}
