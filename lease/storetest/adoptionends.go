package storetest

import (
	"errors"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/clock"
)

// adoptionExpires: an adopter that is not heard of any more holds nothing up.
func adoptionExpires(t *testing.T, s *suite) {
	if s.shape.NoTTL != "" {
		return
	}
	h := s.take(with(keptRequest(), func(r *lease.Request) { r.TTL = s.shape.TTL }))
	a := s.adopt(h.Lease().ID, 1)
	untilExpired(t, s, h)
	if clock.Now() < a.Expires() {
		t.Errorf("the adoption is over, and holds until %v", a.Expires())
	}
	b := s.adopt(h.Lease().ID, 2)
	if _, err := a.Renew(s.ctx, 0); !errors.Is(err, lease.ErrLost) {
		t.Errorf("Renew of an adopter that was given up: %v, want ErrLost", err)
	}
	s.release(a)
	s.isAdopted(h.Release(s.ctx), 2, nil)
	s.release(b)
	s.release(h)
	empty(t, s, "p")
}

// untilExpired renews for the keeper until it is told that nobody has adopted its lease.
func untilExpired(t *testing.T, s *suite, h lease.Holding) {
	for {
		in, err := h.Renew(s.ctx, 0)
		if err != nil {
			t.Fatalf("Renew of the keeper: %v", err)
		}
		if in.Adopter == nil {
			break
		}
		time.Sleep(s.shape.TTL / 10)
	}
}

// adoptionExpiredAndOver: an adopter that was frozen does not go on after another one has run
// something, also when that has ended; and without another one it may go on.
func adoptionExpiredAndOver(t *testing.T, s *suite) {
	if s.shape.NoTTL != "" {
		return
	}
	h := s.take(with(keptRequest(), func(r *lease.Request) { r.TTL = s.shape.TTL }))
	s.release(s.adopt(h.Lease().ID, 3))
	a := s.adopt(h.Lease().ID, 1)
	untilExpired(t, s, h)
	if _, err := a.Renew(s.ctx, 0); err != nil {
		t.Errorf("Renew of an adopter that was frozen: %v", err)
	}
	untilExpired(t, s, h)
	s.release(s.adopt(h.Lease().ID, 2))
	if _, err := a.Renew(s.ctx, 0); !errors.Is(err, lease.ErrLost) {
		t.Errorf("Renew of an adopter that was given up: %v, want ErrLost", err)
	}
	s.release(a)
	s.release(s.adopt(h.Lease().ID, 1))
	s.release(h)
	empty(t, s, "p")
}

// adopterKeeps: the lease holds while its adopter renews it, also without its keeper, and a
// renewal of the one does not shorten that of the other.
func adopterKeeps(t *testing.T, s *suite) {
	if s.shape.NoTTL != "" {
		return
	}
	h := s.take(with(keptRequest(), func(r *lease.Request) { r.TTL = s.shape.TTL }))
	a := s.adopt(h.Lease().ID, 1)
	if err := a.Running(s.ctx, alive); err != nil {
		t.Fatal(err)
	}
	by := adopter(1)
	for end := clock.Now().Add(3 * s.shape.TTL); clock.Now() < end; time.Sleep(s.shape.TTL / 4) {
		if _, err := a.Renew(s.ctx, 0); err != nil {
			t.Fatalf("Renew of the adopter: %v", err)
		}
		s.isState(lease.Running, &by, &alive)
	}
	if _, err := a.Renew(s.ctx, time.Minute); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Renew(s.ctx, 0); err != nil {
		t.Errorf("Renew of a keeper that was away: %v", err)
	}
	for end := clock.Now().Add(2 * s.shape.TTL); clock.Now() < end; time.Sleep(s.shape.TTL / 4) {
		s.isState(lease.Running, &by, &alive)
	}
	s.release(a)
	s.release(s.get(s.line(Request("p", 1)))) // the keeper is gone, so the lease ends now
	empty(t, s, "p")
}
