package limiter

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"berth/lease"
	"berth/lease/clock"
)

// Session is a lease of ours that keeps itself. From Keep or Bind to Close it is renewed in the
// background, and Events tells what the renewals learn.
//
// A lease that ends by a clock is given up early enough that its job can be ended before
// anyone else may have its slots, because a holder that is cut off hears of nothing. A
// session of any other lease has no goroutine: between two heartbeats it is a timer and
// nothing else, for most jobs end before the first.
//
// Lease may be called by any goroutine, and Renew once Keep or Bind has returned; the other methods
// are for one goroutine at a time.
type Session struct {
	h     lease.Holding
	id    string
	times times
	clock sessionClock

	ctx     context.Context // ends with Close
	end     context.CancelFunc
	stopped sync.Once
	busy    chan struct{} // full during a Renew, and for good after Close
	timer   *time.Timer   // fires at the next heartbeat; nil before Keep and Bind

	mu      sync.Mutex
	box     *outbox // for the events
	failure error   // why the last heartbeat failed, nil when it did not
	loss    error   // why the lease counts as lost, nil while it does not
	seen    bool    // whether the receiver of Events takes the lease for lost

	renewing bool // a heartbeat is being written, which then sets the timer
	wanted   bool // Renew was called since it began
}

// NewSession is the session of a lease that was taken without Acquire.
func NewSession(h lease.Holding) *Session { return newSession(h, bootClock) }

func newSession(h lease.Holding, c sessionClock) *Session {
	ctx, cancel := context.WithCancel(context.Background())
	return &Session{h: h, id: h.Lease().ID, times: timesOf(h), clock: c, box: newOutbox(1), ctx: ctx, end: cancel, busy: make(chan struct{}, 1)}
}

// sessionClock is the boot clock, or a test's.
type sessionClock struct {
	now        func() clock.Instant
	sleepUntil func(context.Context, clock.Instant)
}

var bootClock = sessionClock{clock.Now, clock.SleepUntil}

// Lease is the record of the lease.
func (s *Session) Lease() lease.Lease { return s.h.Lease() }

// Expires reports whether the lease ends by a clock when it is not renewed.
func (s *Session) Expires() bool { return s.h.Expires() > 0 }

// Ready makes sure right before the start of its job that the lease is still ours: this
// process may have been frozen since it was granted. It is *LostError when the lease is
// lost, or when the store does not answer within 5 s while the lease has hardly any time
// left.
func (s *Session) Ready(ctx context.Context) error {
	if !s.Expires() || s.left() > 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	if _, err := s.h.Renew(ctx, 0); err != nil {
		return s.lostError(fmt.Errorf("%w before the command was started: %w", lease.ErrLost, err))
	}
	return nil
}

const readyWithin = 5 * time.Second

// Bind records the process that the slots are held for, and begins to renew the lease,
// also after an error: that the record does not name the process is no reason to lose it.
// A request without a Heartbeat is renewed only where its lease ends by a clock.
func (s *Session) Bind(ctx context.Context, p lease.Process) error {
	err := s.h.Running(ctx, p)
	s.startRenewing()
	return err
}

// Events delivers what renewals learn, beginning with Keep or Bind. An event that was not
// received in time is replaced by the next one, which takes over its Stop and says that
// the lease is lost, or ours again, if the receiver does not know that yet.
func (s *Session) Events() <-chan Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.box.events
}

// Renew renews a lease that is kept or bound, without waiting for the next heartbeat. A heartbeat that is
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

// Suspend calls suspend, which suspends this process. A lease that ends by a clock is
// renewed for an hour at least before that, and for its usual time afterwards. The error
// is that of the first renewal; suspend is called after one, too.
func (s *Session) Suspend(suspend func()) error {
	if !s.Expires() || !s.lock() {
		suspend()
		return nil
	}
	ctx, cancel := context.WithTimeout(s.ctx, leastPatience)
	defer cancel()
	_, err := s.h.Renew(ctx, max(lease.SuspendedTTL, s.times.ttl))
	suspend()
	s.unlock()
	s.Renew()
	return err
}

// Close ends the renewals and gives the slots back, within 500 ms when the lease is lost:
// the error is lease.ErrLost then, and nothing is left to be done about it. When it fails
// without a loss, the slots are free once this process is gone, or after the TTL.
func (s *Session) Close(ctx context.Context) error {
	s.stopRenewing()
	s.mu.Lock()
	lost := s.loss != nil
	s.mu.Unlock()
	if !lost {
		return s.h.Release(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, afterLoss)
	defer cancel()
	if err := s.h.Release(ctx); err != nil {
		return fmt.Errorf("%w: %w", lease.ErrLost, err)
	}
	return nil
}

const afterLoss = 500 * time.Millisecond

// Unused is Close for a lease in which nothing was started: see lease.Holding.
func (s *Session) Unused(ctx context.Context) error {
	s.stopRenewing()
	return s.h.Unused(ctx)
}

func (s *Session) startRenewing() {
	if s.times.every == 0 || s.timer != nil {
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

// grace is Event.Grace: 0 if the lease was taken away, because others may have its slots
// already.
func (s *Session) grace(loss error) time.Duration {
	if !errors.As(loss, new(*ExpiringError)) {
		return 0
	}
	return max(0, min(s.h.Expires().Sub(s.clock.now())-s.times.margin, s.times.kill))
}

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
