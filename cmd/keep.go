package cmd

import (
	"context"
	"errors"

	"berth/lease"
	"berth/limiter"
)

// halt stops this process, see limiter.Session.Suspend.
func (s *supervisor) halt() {
	if s.h == nil {
		s.store.Suspend()
		return
	}
	if err := s.h.Suspend(s.store.Suspend); err != nil {
		s.say.notef("pool %s: the lease could not be renewed before this stopped: %v", s.spec.Request.Pool, err)
	}
}

// lose ends the job whose lease is lost, or will be soon, so that it is gone before
// anybody else may start.
func (s *supervisor) lose(e limiter.Event) {
	if s.spec.OnLost == "warn" {
		s.say.errorf("%v; this job runs on and is not counted any more", e.Err)
		return
	}
	s.end(e.Err, e.Grace)
}

func (s *supervisor) giveBack() {
	switch err := s.h.Close(context.Background()); {
	case err == nil:
		s.say.verbosef("gave back slot %d of pool %s", s.h.Lease().Slots[0], s.h.Lease().Pool)
	case !errors.Is(err, lease.ErrLost):
		s.say.notef("%v", err)
	}
}
