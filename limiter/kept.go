package limiter

import (
	"context"
	"errors"
	"time"

	"berth/lease"
)

// Keep is Bind without a process: for a kept lease, under which this process runs nothing
// itself (see lease.Store's Adopt), and for one whose job waits for slots of other pools. A
// request without a Heartbeat gets one: its owner has to hear that it was told to stop.
func (s *Session) Keep() {
	if s.times.every == 0 {
		s.times.every = keepEvery
	}
	s.startRenewing()
}

const keepEvery = 5 * time.Second

// TryClose is Close, unless another process has adopted the lease: the error is
// *lease.AdoptedError then, and the session goes on.
func (s *Session) TryClose(ctx context.Context) error {
	if !s.lock() {
		return s.Close(ctx)
	}
	err := s.h.Release(ctx)
	s.unlock()
	switch {
	case errors.As(err, new(*lease.AdoptedError)):
		return err
	case err == nil: // a heartbeat that comes after it finds no lease, and that is no loss
		s.stopRenewing()
		return nil
	}
	return s.Close(ctx)
}

// Keep is Session.Keep for all.
func (ss Sessions) Keep() {
	for _, s := range ss {
		s.Keep()
	}
}

// TryClose is Session.TryClose for all, one after the other. It ends with the first that
// another process has adopted. Those before it are given back by then, so a process that runs
// something under several leases adopts them in this order.
func (ss Sessions) TryClose(ctx context.Context) (err error) {
	for _, s := range ss {
		e := s.TryClose(ctx)
		if errors.As(e, new(*lease.AdoptedError)) {
			return e
		}
		err = errors.Join(err, e)
	}
	return err
}
