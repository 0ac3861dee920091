package storetest

import (
	"fmt"
	"testing"

	"berth/lease"
)

func lowestFirst(t *testing.T, s *suite) {
	a, b, c := s.take(Request("p", 9)), s.take(Request("p", 9)), s.take(Request("p", 9))
	s.release(b)
	d := s.take(with(Request("p", 9), func(r *lease.Request) { r.Weight = 2 }))
	got := fmt.Sprint(a.Lease().Slots, b.Lease().Slots, c.Lease().Slots, d.Lease().Slots)
	if want := "[0] [1] [2] [1 3]"; got != want {
		t.Errorf("slots %s, want %s", got, want)
	}
}

func order(t *testing.T, s *suite) {
	h := s.take(Request("p", 1))
	var places []lease.Place
	for range 5 {
		places = append(places, s.line(Request("p", 1)))
	}
	s.notYet(places[4], lease.Behind)
	s.notYet(places[0], lease.Full)
	if err := places[2].Leave(s.ctx); err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 1, 3, 4} {
		for j, p := range places {
			if j > i && j != 2 {
				s.notYet(p, lease.Behind)
			}
		}
		s.release(h)
		h = s.get(places[i])
	}
	s.release(h)
	empty(t, s, "p")
}

func priority(t *testing.T, s *suite) {
	h := s.take(Request("p", 1))
	late := s.line(with(Request("p", 1), func(r *lease.Request) { r.Priority = 5 }))
	s.notYet(late, lease.Full)
	first := s.line(Request("p", 1))
	urgent := s.line(with(Request("p", 1), func(r *lease.Request) { r.Priority = -20 }))
	s.notYet(late, lease.Behind)
	for _, p := range []lease.Place{urgent, first, late} {
		s.release(h)
		h = s.get(p)
	}
	s.release(h)
}

func heavy(t *testing.T, s *suite) {
	a, b := s.take(Request("p", 3)), s.take(Request("p", 3))
	big := s.line(with(Request("p", 3), func(r *lease.Request) { r.Weight = 3 }))
	small := s.line(Request("p", 3))
	s.notYet(big, lease.Full)
	s.notYet(small, lease.Behind) // though a slot is free
	s.refused(Request("p", 3), lease.Behind)
	s.release(a)
	s.notYet(big, lease.Full)
	s.release(b)
	h := s.get(big)
	if len(h.Lease().Slots) != 3 {
		t.Errorf("slots %v, want 3", h.Lease().Slots)
	}
	s.notYet(small, lease.Full)
	s.release(h)
	s.release(s.get(small))
}

func tooHeavy(t *testing.T, s *suite) {
	r := with(Request("p", 2), func(r *lease.Request) { r.Weight = 3 })
	s.refused(r, lease.TooHeavy)
	r.Limit = 0 // the pool's own, or the fallback of 2
	s.refused(r, lease.TooHeavy)
	five := 5
	if err := s.setLimit("p", &five); err != nil {
		t.Fatal(err)
	}
	s.release(s.take(r))
}

func newcomer(t *testing.T, s *suite) {
	h := s.take(Request("p", 1))
	p := s.line(Request("p", 1))
	s.release(h)
	if s.shape.Grants {
		s.refused(Request("p", 1), lease.Full)
		s.release(s.get(p))
		return
	}
	s.refused(Request("p", 1), lease.Behind)
	urgent := s.take(with(Request("p", 1), func(r *lease.Request) { r.Priority = -1 }))
	s.notYet(p, lease.Full)
	s.release(urgent)
	s.release(s.get(p))
}
