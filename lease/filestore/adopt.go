//go:build unix

package filestore

import (
	"context"
	"errors"
	"fmt"
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
// The record of the first slot decides. It is written last at the begin of an adoption, and
// last at its end, so all slots name the adopter for as long as the first one does.

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
		return nil, fmt.Errorf("%s is still waiting: %w", m.ticket.ID, lease.ErrNotFound)
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
			if by := h.pool.adopted(r); by != nil && !same(by.Adopter, *h.adopter) {
				return by
			}
		}
		if got, err := flockNB(f, unix.LOCK_SH); err != nil || !got {
			return errors.Join(err, fmt.Errorf("cannot lock slot %d of pool %s, which another process has locked for itself", slot, h.pool.name))
		}
	}
	return nil
}

// closeFiles gives the locks back. They are unlocked explicitly, see releaseSteps.
func (h *holding) closeFiles() (err error) {
	for i, f := range h.files {
		err = errors.Join(err, unlock(f), h.pool.wakeHead(strconv.Itoa(h.lease.Slots[i])), f.Close())
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

// adopted says who has adopted the lease of r; nil: no process, or adopter and child are gone.
// If the adopter was killed before it could record its child, the child's environment tells.
func (p *pool) adopted(r *record) *lease.AdoptedError {
	if r == nil || r.adopter == nil {
		return nil
	}
	by := &lease.AdoptedError{ID: r.lease.ID, Adopter: *r.adopter, Child: r.child}
	switch {
	case p.s.opts.Alive(*r.adopter), r.child != nil && p.s.opts.Alive(*r.child):
		return by
	case r.child == nil:
		if by.Child = p.processOf(r.lease.ID); by.Child != nil {
			return by
		}
	}
	return nil
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
		r, err := h.lockedRecord()
		if err != nil {
			return err
		}
		if by := h.pool.adopted(r); by != nil {
			return by
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

// lockedRecord is ownRecord for those that have not locked h.mu; nil after a release.
func (h *holding) lockedRecord() (*record, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.files == nil {
		return nil, nil
	}
	return h.ownRecord()
}
