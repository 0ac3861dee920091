package storetest

import (
	"testing"

	"berth/lease"
)

// waitsFirst: a request that was refused just before it took its place waits before it tries
// again, and misses nothing that happens in between.
func waitsFirst(t *testing.T, s *suite) {
	h := s.take(Request("p", 1))
	s.refused(Request("p", 1), lease.Full)
	s.release(h) // before there is a waiter to be woken
	a := s.line(Request("p", 1))
	s.waits(a)
	b, c := s.line(Request("p", 1)), s.line(Request("p", 1))
	h = s.get(a)
	s.waits(b)
	s.notYet(b, lease.Full)
	if err := b.Leave(s.ctx); err != nil {
		t.Fatal(err)
	}
	s.waits(c)
	s.release(h)
	s.release(s.get(c))
	empty(t, s, "p")
}

func (s *suite) waits(p lease.Place) {
	s.Helper()
	if err := p.Wait(s.ctx); err != nil {
		s.Fatalf("Wait: %v; want it to return, for %s may have its turn", err, p.Ticket().ID)
	}
}
