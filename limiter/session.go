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

// Session is a lease of ours that keeps itself. From Bind to Close it is renewed in the
// background, and Events tells what the renewals learn.
//
// A lease that ends by a clock is given up early enough that its job can be ended before
// anyone else may have its slots, because a holder that is cut off hears of nothing. A
// session of any other lease has no goroutine: between two heartbeats it is a timer and
// nothing else, for most jobs end before the first.
//
// Renew may be called by any goroutine once Bind has returned; the other methods are for
// one goroutine at a time.
type Session struct {
	h      lease.Holding
	times  times
	clock  sessionClock
	events chan Event

	ctx     context.Context // ends with Close
	end     context.CancelFunc
	stopped sync.Once
	busy    chan struct{} // full during a Renew, and for good after Close
	timer   *time.Timer   // fires at the next heartbeat; nil before Bind

	mu      sync.Mutex
	failure error // why the last heartbeat failed, nil when it did not
	loss    error // why the lease counts as lost, nil while it does not
	seen    bool  // whether the receiver of Events takes the lease for lost

	renewing bool // a heartbeat is being written, which then sets the timer
	wanted   bool // Renew was called since it began
}

// NewSession is the session of a lease that was taken without Acquire.
func NewSession(h lease.Holding) *Session { return newSession(h, bootClock) }

func newSession(h lease.Holding, c sessionClock) *Session {
	ctx, cancel := context.WithCancel(context.Background())
	return &Session{h: h, times: timesOf(h), clock: c, events: make(chan Event, 1), ctx: ctx, end: cancel, busy: make(chan struct{}, 1)}
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

// Events delivers what renewals learn, beginning with Bind. An event that was not
// received in time is replaced by the next one, which takes over its Stop and says that
// the lease is lost, or ours again, if the receiver does not know that yet.
func (s *Session) Events() <-chan Event { return s.events }

// Suspend calls stop, which suspends this process. A lease that ends by a clock is
// renewed for an hour at least before that, and for its usual time afterwards. The error
// is that of the first renewal; stop is called after one, too.
func (s *Session) Suspend(stop func()) error {
	if !s.Expires() || !s.lock() {
		stop()
		return nil
	}
	ctx, cancel := context.WithTimeout(s.ctx, leastPatience)
	defer cancel()
	_, err := s.h.Renew(ctx, max(lease.SuspendedTTL, s.times.ttl))
	stop()
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

// EventKind says what an Event is about.
type EventKind int

const (
	Renewed  EventKind = iota // a heartbeat was written
	Failed                    // a heartbeat was not written; the next one may be
	Lost                      // the lease is lost, or is given up before it ends
	Regained                  // a lost lease was renewed after all
)

// Event is what the last renewal learned, or that the lease is lost.
type Event struct {
	Kind      EventKind
	Stop      *lease.Stop   // a request to end the job; nil: none
	Keepalive clock.Instant // when the job last reset its idle clock, on the store's clock; 0: never
	Err       error         // of Failed, and *LostError of Lost
	// Grace is for Lost: how long the job may take to end before it must be killed,
	// so that it is gone when others may have its slots; at most KillAfter.
	Grace time.Duration
}

// tell replaces the event that was not received yet, see Events.
func (s *Session) tell(in lease.Inbox, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := Event{Stop: in.Stop, Keepalive: in.Keepalive, Err: err}
	select {
	case old := <-s.events:
		if e.Stop == nil {
			e.Stop = old.Stop
		}
		e.Keepalive = max(e.Keepalive, old.Keepalive)
	default:
		s.seen = s.loss != nil
	}
	if _, givenUp := err.(*ExpiringError); !givenUp {
		s.failure = err
	}
	switch {
	case err == nil:
		s.loss = nil
	case s.loss == nil && errors.Is(err, lease.ErrLost):
		s.loss = err
	}
	switch {
	case s.loss != nil && !s.seen:
		e.Kind, e.Err, e.Grace = Lost, s.lostError(s.loss), s.grace(s.loss)
	case s.loss == nil && s.seen:
		e.Kind = Regained
	case err != nil:
		e.Kind = Failed
	}
	s.events <- e
}

// LostError says that the lease of a pool's job is lost. It is lease.ErrLost.
type LostError struct {
	Pool string
	Err  error
}

func (s *Session) lostError(err error) error { return &LostError{s.h.Lease().Pool, err} }

func (e *LostError) Error() string { return fmt.Sprintf("pool %s: %v", e.Pool, e.Err) }
func (e *LostError) Unwrap() error { return e.Err }
