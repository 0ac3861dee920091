package memstore

import (
	"context"
	"fmt"
	"time"

	"berth/lease"
	"berth/lease/clock"
)

// adoption is the Holding of an adopter. It lasts while it is that of its lease.
type adoption struct {
	h  *holding
	by lease.Process
}

// Adopt implements lease.Store.
func (s *Store) Adopt(_ context.Context, id string, adopter lease.Process) (lease.Holding, error) {
	h, t, err := s.find(id)
	defer s.mu.Unlock()
	switch {
	case err != nil:
		return nil, err
	case t != nil:
		return nil, lease.WaitsError(id)
	case !h.lease.Kept:
		return nil, fmt.Errorf("%s: %w", id, lease.ErrNotKept)
	case h.adoption == nil:
		h.adoption = &adoption{h, adopter}
		h.lease.Adopter = &adopter
		h.p.announce()
	case h.adoption.by != adopter:
		return nil, h.adopted()
	}
	return h.adoption, nil
}

// adopted is what others are told while the lease is adopted; the caller has locked s.mu.
func (h *holding) adopted() error {
	return &lease.AdoptedError{ID: h.lease.ID, Adopter: *h.lease.Adopter, Child: h.lease.Child}
}

func (a *adoption) over() bool { return a.h.gone || a.h.adoption != a }

func (a *adoption) Lease() lease.Lease { return a.h.Lease() }

func (a *adoption) Running(ctx context.Context, child lease.Process) error {
	a.h.s.mu.Lock()
	defer a.h.s.mu.Unlock()
	if a.over() {
		return lease.ErrLost
	}
	a.h.running(child)
	return nil
}

func (a *adoption) Expires() clock.Instant { return 0 }

func (a *adoption) Renew(context.Context, time.Duration) (lease.Inbox, error) {
	a.h.s.mu.Lock()
	defer a.h.s.mu.Unlock()
	if a.over() {
		return lease.Inbox{}, lease.ErrLost
	}
	in := a.h.inbox
	in.Release = false
	return in, nil
}

func (a *adoption) Release(context.Context) error {
	a.h.s.mu.Lock()
	defer a.h.s.mu.Unlock()
	if a.over() {
		return nil
	}
	a.h.adoption, a.h.lease.Adopter, a.h.lease.Child, a.h.lease.State = nil, nil, nil, lease.Reserved
	a.h.p.announce()
	return nil
}

func (a *adoption) Unused(ctx context.Context) error { return a.Release(ctx) }
