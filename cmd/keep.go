package cmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"berth/lease"
	"berth/lease/clock"
)

// What a lease that ends by a clock asks of whoever looks after its job.

// stillOurs renews a lease that has hardly any time left when its job is about to be
// started: we may have been frozen since it was granted.
func (r *runner) stillOurs(h lease.Holding) error {
	if h.Expires().Sub(clock.Now()) > r.reserve() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), answers)
	defer cancel()
	if _, err := h.Renew(ctx, 0); err != nil {
		return &lostError{r.spec.Request.Pool, fmt.Errorf("%w before the command was started: %w", lease.ErrLost, err)}
	}
	return nil
}

// stoppedTTL is how long a job that was stopped keeps its slot in a store that hears
// nothing of it.
const stoppedTTL = time.Hour

// halt stops this process. A lease that ends by a clock is renewed for longer before,
// and at once afterwards.
func (s *supervisor) halt() {
	if s.h == nil || s.h.Expires() == 0 {
		s.store.suspend()
		return
	}
	if err := s.keeper.While(max(stoppedTTL, s.spec.Request.TTL), s.store.suspend); err != nil {
		s.say.notef("pool %s: the lease could not be renewed before this stopped: %v", s.spec.Request.Pool, err)
	}
}

// lose ends the job whose lease is lost, or will be soon, so that it is gone before
// anybody else may start: with the grace that is left until then.
func (s *supervisor) lose(why error) {
	s.lost = true
	lost := &lostError{s.spec.Request.Pool, why}
	if s.spec.OnLost == "warn" {
		s.say.errorf("%v; this job runs on and is not counted any more", lost)
		return
	}
	grace := time.Duration(0)
	var left *lease.ExpiringError
	if errors.As(why, &left) {
		grace = max(0, min(left.Left-s.margin(), s.spec.KillAfter))
	}
	s.end(lost, grace)
}

// margin is what is left of a lease when the last of its job is killed: for the
// killing, and for clocks that do not go alike.
func (r *runner) margin() time.Duration { return r.spec.Request.TTL / 10 }

// reserve is how long before the end of a lease its job is ended at the latest.
func (r *runner) reserve() time.Duration {
	return r.margin() + min(r.spec.KillAfter, r.spec.Request.TTL/3)
}

// lostError says that a lease is lost.
type lostError struct {
	pool string
	err  error
}

func (e *lostError) Error() string { return fmt.Sprintf("pool %s: %v", e.pool, e.err) }
func (e *lostError) Unwrap() error { return e.err }

// afterLoss is how long what is lost already may take to be given back.
const afterLoss = 500 * time.Millisecond

func (s *supervisor) giveBack() {
	ctx, cancel := context.WithCancel(context.Background())
	if s.lost {
		ctx, cancel = context.WithTimeout(ctx, afterLoss)
	}
	defer cancel()
	switch err := s.h.Release(ctx); {
	case err == nil:
		s.say.verbosef("gave back slot %d of pool %s", s.h.Lease().Slots[0], s.h.Lease().Pool)
	case !s.lost:
		s.say.notef("%v", err)
	}
}
