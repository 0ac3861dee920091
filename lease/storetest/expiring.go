package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/clock"
)

// repeated: a step that has happened, though the caller saw an error, is repeated
// with the same id.
func repeated(t *testing.T, s *suite) {
	if s.shape.NoLostReply != "" {
		return
	}
	r := Request("p", 2)
	a, again := s.take(r), s.take(r)
	if a.Lease().Token != again.Lease().Token || len(again.Lease().Slots) != 1 || a.Lease().Slots[0] != again.Lease().Slots[0] {
		t.Errorf("%+v, and asked again %+v; want the same lease", a.Lease(), again.Lease())
	}
	b := s.take(Request("p", 2)) // there is room for one more
	w := Request("p", 2)
	p, twice := s.line(w), s.line(w)
	if p.Ticket().Seq != twice.Ticket().Seq {
		t.Errorf("place %d, and asked again %d; want the same", p.Ticket().Seq, twice.Ticket().Seq)
	}
	s.notYet(p, lease.Full)
	s.release(a)
	s.release(again)
	h := s.get(p)
	if l := s.get(twice).Lease(); l.Token != h.Lease().Token {
		t.Errorf("token %d, and asked again %d; want the same", h.Lease().Token, l.Token)
	}
	// Given the slots, and then gone without having seen it.
	late := s.line(w)
	if err := late.Leave(s.ctx); err != nil {
		t.Fatal(err)
	}
	s.release(b)
	empty(t, s, "p")
}

// mortal is a request whose lease ends soon without a heartbeat.
func (s *suite) mortal(n int) lease.Request {
	return with(Request("p", n), func(r *lease.Request) { r.TTL = s.shape.TTL })
}

func expires(t *testing.T, s *suite) {
	if s.shape.NoTTL != "" {
		return
	}
	sent := clock.Now()
	h := s.take(s.mortal(1))
	if e := h.Expires(); e < sent || e > clock.Now().Add(2*s.shape.TTL) {
		t.Errorf("taken after %v, expires at %v, TTL %v", sent, e, s.shape.TTL)
	}
	p, err := s.another.Line(s.ctx, Request("p", 1))
	if err != nil {
		t.Fatal(err)
	}
	next := s.get(p)
	if now := clock.Now(); now < h.Expires() {
		t.Errorf("another holder has the slot at %v, the lease holds until %v", now, h.Expires())
	}
	if next.Lease().Token <= h.Lease().Token {
		t.Errorf("token %d after %d", next.Lease().Token, h.Lease().Token)
	}
	if _, err := h.Renew(s.ctx, 0); !errors.Is(err, lease.ErrLost) {
		t.Errorf("Renew: %v, want ErrLost", err)
	}
	s.release(h) // must not give the next one's slot away
	s.refused(Request("p", 1), lease.Full)
	s.release(next)
	empty(t, s, "p")
}

// renewed: a lease that is renewed stays, and one that was renewed for longer stays for
// that long without another Renew.
func renewed(t *testing.T, s *suite) {
	if s.shape.NoTTL != "" {
		return
	}
	h, long := s.take(s.mortal(2)), s.take(s.mortal(2))
	if _, err := long.Renew(s.ctx, time.Minute); err != nil {
		t.Fatal(err)
	}
	if left := long.Expires().Sub(clock.Now()); left < 50*time.Second {
		t.Errorf("renewed for a minute, expires in %v", left)
	}
	p := s.line(Request("p", 2))
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	got := make(chan error, 1)
	go func() {
		h, err := Get(ctx, p)
		if err == nil {
			err = h.Release(s.ctx)
		}
		got <- err
	}()
	for end := clock.Now().Add(4 * s.shape.TTL); clock.Now() < end; {
		was := h.Expires()
		if _, err := h.Renew(s.ctx, 0); err != nil || h.Expires() < was {
			t.Fatalf("Renew: %v, expires at %v after %v", err, h.Expires(), was)
		}
		select {
		case err := <-got:
			t.Fatalf("the waiter has a slot, or %v", err)
		case <-time.After(s.shape.TTL / 4):
		}
	}
	s.release(long)
	if err := <-got; err != nil {
		t.Error(err)
	}
	s.release(h)
	empty(t, s, "p")
}

func deadWaiter(t *testing.T, s *suite) {
	if s.shape.NoTTL != "" {
		return
	}
	h := s.take(Request("p", 1))
	s.line(s.mortal(1)) // and never looked at again
	p, err := s.another.Line(s.ctx, Request("p", 1))
	if err != nil {
		t.Fatal(err)
	}
	s.release(h)
	s.release(s.get(p))
	// What was dead is not in the way for ever, and is swept in the end.
	for {
		pools, err := s.List(s.ctx, "p")
		if err != nil {
			t.Fatal(err)
		}
		if len(pools[0].Waiters) == 0 {
			break
		}
		s.release(s.take(with(Request("p", 1), func(r *lease.Request) { r.Priority = -1 })))
		time.Sleep(s.shape.TTL / 10)
	}
	empty(t, s, "p")
}
