package memstore

import (
	"context"
	"slices"
	"time"

	"berth/lease"
	"berth/lease/clock"
)

type holding struct {
	s     *Store
	p     *pool
	lease lease.Lease
	inbox lease.Inbox
	note  string // of the last keepalive that had one
	gone  bool

	adoption *adoption // nil: it is not adopted
}

// entry describes a holder; the caller has locked s.mu.
func (h *holding) entry() lease.Entry {
	l := h.lease
	return lease.Entry{Lease: &l, HeartbeatAge: -1, Keepalive: h.inbox.Keepalive, KeepaliveNote: h.note}
}

func (h *holding) Lease() lease.Lease {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	return h.lease
}

func (h *holding) Running(_ context.Context, child lease.Process) error {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.running(child)
	return nil
}

// running records the child; the caller has locked s.mu.
func (h *holding) running(child lease.Process) {
	h.lease.Child, h.lease.State = &child, lease.Running
}

func (h *holding) Expires() clock.Instant { return 0 }

func (h *holding) Renew(context.Context, time.Duration) (lease.Inbox, error) {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	if h.gone {
		return h.inbox, lease.ErrLost
	}
	in := h.inbox
	in.Adopter = h.lease.Adopter
	return in, nil
}

func (h *holding) Release(context.Context) error { return h.release(true) }

func (h *holding) Unused(context.Context) error { return h.release(false) }

func (h *holding) release(used bool) error {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	if h.gone {
		return nil
	}
	if h.adoption != nil {
		return h.adopted()
	}
	if !used {
		h.p.starts.Undo(h.lease.Start)
	}
	h.gone = true
	h.p.held = slices.DeleteFunc(h.p.held, func(o *holding) bool { return o == h })
	h.p.wake()
	return nil
}
