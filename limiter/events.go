package limiter

import (
	"errors"
	"sync"
	"time"

	"berth/lease"
	"berth/lease/clock"
)

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
	Lease     string // its id
	Kind      EventKind
	Stop      *lease.Stop   // a request to end the job; nil: none
	Keepalive clock.Instant // when the job last reset its idle clock, on the store's clock; 0: never
	Release   bool          // the keeper of the lease is to give it back
	Err       error         // of Failed, and *LostError of Lost
	// Grace is for Lost: how long the job may take to end before it must be killed,
	// so that it is gone when others may have its slots; at most KillAfter.
	Grace time.Duration
}

// outbox has the events of one job's sessions that were not received yet: one of each at most.
type outbox struct {
	mu     sync.Mutex // held by who puts something in, never by the receiver
	events chan Event
}

func newOutbox(sessions int) *outbox { return &outbox{events: make(chan Event, sessions)} }

// take takes out the event of this lease, if it was not received yet.
func (b *outbox) take(id string) (old Event, is bool) {
	for range len(b.events) {
		select {
		case e := <-b.events:
			if e.Lease == id {
				return e, true
			}
			b.events <- e
		default:
		}
	}
	return Event{}, false
}

// use has the session put its events into another box, also the one that was not received yet.
func (s *Session) use(box *outbox) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.box.mu.Lock()
	old, unread := s.box.take(s.id)
	s.box.mu.Unlock()
	s.box = box
	if unread {
		box.mu.Lock()
		box.events <- old
		box.mu.Unlock()
	}
}

// tell replaces the event that was not received yet, see Events.
func (s *Session) tell(in lease.Inbox, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	e := Event{Lease: s.id, Stop: in.Stop, Keepalive: in.Keepalive, Release: in.Release, Err: err}
	if old, unread := s.box.take(s.id); unread {
		if e.Stop == nil {
			e.Stop = old.Stop
		}
		e.Keepalive = max(e.Keepalive, old.Keepalive)
		e.Release = e.Release || old.Release
	} else { // the previous event was received, so its receiver knows what we knew then
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
	s.box.events <- e
}
