package limiter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"berth/lease"
	"berth/lease/clock"
)

// times of a lease's renewals. Those but every are of one that ends by a clock.
type times struct {
	every time.Duration // from one heartbeat to the next; 0: none is written
	ttl   time.Duration
	kill  time.Duration // from the first signal to KILL when its job is ended
	// margin is left of the lease when the last of its job is killed: for the killing
	// itself, and for clocks that run at different rates.
	margin time.Duration
	// reserve is how long before its end the lease is given up.
	reserve time.Duration
}

func timesOf(h lease.Holding) times {
	r := h.Lease().Request
	t := times{every: r.Heartbeat, ttl: r.TTL, kill: r.KillAfter, margin: r.TTL / 10}
	t.reserve = t.margin + min(t.kill, t.ttl/3)
	if t.every == 0 && h.Expires() > 0 {
		t.every = t.ttl / 3
	}
	if b, ok := h.(lease.HeartbeatBound); ok {
		t.every = min(t.every, b.HeartbeatAtMost())
	}
	return t
}

const (
	// electionTime is what a lease should outlive if its store becomes unreachable just when
	// a heartbeat is due: longer than a cluster usually takes to elect a leader.
	electionTime = 3 * time.Second
	// retryFactor is how many times as often a heartbeat is tried after a failure.
	retryFactor = 4
	// finalTryShare is the part of the reserve that the last try may take.
	finalTryShare = 8
	// leastPatience is the least time that a Renew is given.
	leastPatience = time.Second
)

func (s *Session) startRenewing() {
	if s.times.every == 0 {
		return
	}
	s.busy <- struct{}{} // the first heartbeat needs s.timer
	s.timer = time.AfterFunc(s.first(), s.heartbeat)
	s.unlock()
	if s.Expires() {
		go s.watch()
	}
}

// stopRenewing returns when no Renew is under way and none will be.
func (s *Session) stopRenewing() {
	s.stopped.Do(func() {
		s.end()
		if s.timer != nil {
			s.timer.Stop()
		}
		s.busy <- struct{}{}
	})
}

// lock waits until no Renew is under way, false when the session is closed.
func (s *Session) lock() bool {
	select {
	case s.busy <- struct{}{}:
		return true
	case <-s.ctx.Done():
		return false
	}
}

func (s *Session) unlock() { <-s.busy }

// Renew renews a bound lease without waiting for the next heartbeat. A heartbeat that is
// being written may have read the lease already, so another one follows it.
func (s *Session) Renew() {
	if s.timer == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.renewing { // it would set the timer once more, to a later time
		s.wanted = true
		return
	}
	s.timer.Reset(0)
}

// first is the time to the first heartbeat. The last one may have been a waiter's, long
// ago: then it is shorter than the usual one.
func (s *Session) first() time.Duration {
	if s.Expires() {
		return max(0, min(s.next(), s.left()/2))
	}
	return s.times.every
}

// left is the time until the lease is given up.
func (s *Session) left() time.Duration {
	return s.h.Expires().Add(-s.times.reserve).Sub(s.clock.now())
}

// next is the time from a good heartbeat to the next one. It is shorter for a lease so
// short that otherwise a brief outage would end it.
func (s *Session) next() time.Duration {
	if !s.Expires() {
		return s.times.every
	}
	return min(s.times.every, max(s.times.every/retryFactor, s.left()-electionTime))
}

// heartbeat renews the lease and sets the timer for the next time. An error does not end
// that, because a store that is out of reach for a moment must not cost a healthy job its
// lease; the next try comes sooner then, when time is short.
func (s *Session) heartbeat() {
	if !s.lock() {
		return
	}
	defer s.unlock()
	ctx, cancel := s.ctx, context.CancelFunc(func() {})
	if s.Expires() { // a connection may be dead without a word of it
		ctx, cancel = context.WithTimeout(s.ctx, max(s.times.every, leastPatience))
	}
	defer cancel()
	begun := s.clock.now()
	s.begin()
	inbox, err := s.h.Renew(ctx, 0)
	if s.ctx.Err() != nil {
		return
	}
	s.tell(inbox, err)
	next := s.next()
	if err != nil && s.Expires() { // at once, when this one took long
		next = max(0, s.times.every/retryFactor-s.clock.now().Sub(begun))
	}
	s.schedule(next)
}

func (s *Session) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renewing, s.wanted = true, false
}

// schedule sets the timer, to now if Renew was called during the heartbeat.
func (s *Session) schedule(next time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wanted {
		next = 0
	}
	s.renewing = false
	s.timer.Reset(next)
}

// watch gives the lease up when it was not renewed in time. It may wake late, after this
// machine was suspended or this process was frozen. So it first has the lease renewed
// once more: perhaps no other process wanted its slots.
func (s *Session) watch() {
	givenUp := clock.Instant(-1) // the end of the lease that is given up already
	for s.ctx.Err() == nil {
		expires, now := s.h.Expires(), s.clock.now()
		switch due := expires.Add(-s.times.reserve); {
		case expires == givenUp: // until it is renewed after all
			s.clock.sleepUntil(s.ctx, now.Add(s.times.every/retryFactor))
		case now < due: // but no longer than a heartbeat: it may be renewed for less than before
			s.clock.sleepUntil(s.ctx, min(due, now.Add(s.times.every)))
		case s.finalTry(expires):
			givenUp = expires
			s.mu.Lock()
			why := s.failure
			s.mu.Unlock()
			s.tell(lease.Inbox{}, &ExpiringError{Left: expires.Sub(s.clock.now()), Err: why})
		}
	}
}

// finalTry has the lease renewed, and reports whether that failed.
func (s *Session) finalTry(expires clock.Instant) (failed bool) {
	s.Renew()
	s.clock.sleepUntil(s.ctx, s.clock.now().Add(s.times.reserve/finalTryShare))
	return s.h.Expires() == expires && s.ctx.Err() == nil
}

// grace is Event.Grace. Of a lease that did not end by its clock others may have the
// slots already.
func (s *Session) grace(loss error) time.Duration {
	if !errors.As(loss, new(*ExpiringError)) {
		return 0
	}
	return max(0, min(s.h.Expires().Sub(s.clock.now())-s.times.margin, s.times.kill))
}

// ExpiringError says that a lease could not be renewed and is given up. It is
// lease.ErrLost.
type ExpiringError struct {
	Left time.Duration // until the lease ends; negative: it may have ended so long ago
	Err  error         // of the last try; nil: none ended in time
}

func (e *ExpiringError) Error() string {
	msg := fmt.Sprintf("the lease could not be renewed, and ends in %v", e.Left.Round(time.Millisecond))
	if e.Left <= 0 {
		msg = fmt.Sprintf("the lease could not be renewed, and ended up to %v ago", -e.Left.Round(time.Millisecond))
	}
	if e.Err != nil {
		msg += ": " + e.Err.Error()
	}
	return msg
}

func (e *ExpiringError) Is(target error) bool { return target == lease.ErrLost }
func (e *ExpiringError) Unwrap() error        { return e.Err }
