package storetest

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"berth/lease"
)

func supersededBy(id string) lease.Message {
	return lease.Message{Kind: lease.MessageSupersede, Stop: lease.Stop{Successor: id}}
}

// releaseOfAWaiter: only a holder can be told to give its lease back.
func releaseOfAWaiter(t *testing.T, s *suite) {
	h := s.take(keptRequest())
	p := s.line(keptRequest())
	if _, err := s.another.Tell(s.ctx, p.Ticket().ID, lease.Message{Kind: lease.MessageRelease}); !errors.Is(err, lease.ErrNotFound) {
		t.Errorf("Tell of a waiter: %v, want ErrNotFound", err)
	}
	s.notYet(p, lease.Full)
	s.release(h)
	next := s.get(p)
	if in, err := next.Renew(s.ctx, 0); err != nil || in.Release {
		t.Errorf("Renew: %+v, %v; want no word of it", in, err)
	}
	s.release(next)
}

// supersede: a waiter leaves, and a job goes on.
func supersede(t *testing.T, s *suite) {
	h := s.take(Request("p", 1))
	a, b := s.line(Request("p", 1)), s.line(Request("p", 1))
	s.notYet(a, lease.Full)
	if _, err := s.another.Tell(s.ctx, h.Lease().ID, supersededBy(b.Ticket().ID)); !errors.Is(err, lease.ErrNotFound) {
		t.Errorf("Tell of a holder: %v, want ErrNotFound", err)
	}
	if in, err := h.Renew(s.ctx, 0); err != nil || in.Stop != nil {
		t.Errorf("Renew: %+v, %v; want no stop", in, err)
	}
	if e, err := s.another.Tell(s.ctx, a.Ticket().ID, supersededBy(b.Ticket().ID)); err != nil || e.Ticket == nil || e.Ticket.ID != a.Ticket().ID {
		t.Errorf("Tell of a waiter: %+v, %v; want its record", e, err)
	}
	for range 2 { // it may not have seen the first answer
		var stopped *lease.StoppedError
		if _, _, err := a.TryAcquire(s.ctx, lease.Clearance{}); !errors.As(err, &stopped) || stopped.Successor != b.Ticket().ID {
			t.Errorf("TryAcquire: %v; want to be told of its successor", err)
		}
	}
	if err := a.Leave(s.ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := s.another.Tell(s.ctx, a.Ticket().ID, supersededBy("x")); !errors.Is(err, lease.ErrNotFound) {
		t.Errorf("Tell of one that has left: %v, want ErrNotFound", err)
	}
	s.release(h)
	s.release(s.get(b))
	empty(t, s, "p")
}

// supersedeAtTheGrant: a waiter that gets its slot at that moment leaves or runs to its end.
func supersedeAtTheGrant(t *testing.T, s *suite) {
	for range 10 {
		h := s.take(Request("p", 1))
		p := s.line(Request("p", 1))
		s.notYet(p, lease.Full)
		released := make(chan error, 1)
		go func() { released <- h.Release(s.ctx) }()
		_, told := s.another.Tell(s.ctx, p.Ticket().ID, supersededBy("x"))
		if err := <-released; err != nil {
			t.Fatal(err)
		}
		next, err := Get(s.ctx, p)
		switch {
		case next == nil && told == nil && errors.As(err, new(*lease.StoppedError)):
			if err := p.Leave(s.ctx); err != nil {
				t.Fatal(err)
			}
		case next != nil && errors.Is(told, lease.ErrNotFound):
			if in, err := next.Renew(s.ctx, 0); err != nil || in.Stop != nil {
				t.Errorf("Renew: %+v, %v; want no stop", in, err)
			}
			s.release(next)
		default:
			t.Fatalf("Tell: %v; the waiter has %v, %v", told, next, err)
		}
		empty(t, s, "p")
	}
}

// supersedeOfKept: a place that only its key keeps has no waiter that could leave.
func supersedeOfKept(t *testing.T, s *suite) {
	r := with(Request("p", 1), func(r *lease.Request) { r.Key, r.Grace = "k", time.Hour })
	h := s.take(Request("p", 1))
	a := s.line(r)
	if err := a.Leave(s.ctx); err != nil {
		t.Fatal(err)
	}
	if e, err := s.another.Tell(s.ctx, a.Ticket().ID, supersededBy("x")); err != nil || e.Ticket == nil {
		t.Errorf("Tell of a place that is kept: %+v, %v", e, err)
	}
	s.release(h)
	empty(t, s, "p")
}

// keepaliveNote: the last note that was given is shown with the holder.
func keepaliveNote(t *testing.T, s *suite) {
	h := s.take(with(Request("p", 2), func(r *lease.Request) { r.IdleTimeout = time.Hour }))
	other := s.take(Request("p", 2))
	long := strings.Repeat("ü", lease.MaxNote/2)
	for _, c := range []struct{ note, want string }{
		{"", ""}, {"step 1 of 3", "step 1 of 3"}, {"", "step 1 of 3"}, {"tab\tand\nline \"{\\", "tab\tand\nline \"{\\"}, {long, long}, {"3", "3"},
	} {
		if _, err := s.another.Tell(s.ctx, h.Lease().ID, lease.Message{Kind: lease.MessageKeepalive, Note: c.note}); err != nil {
			t.Fatal(err)
		}
		pools, err := s.List(s.ctx, "p")
		if err != nil || len(pools[0].Holders) != 2 {
			t.Fatalf("List: %+v, %v; want two holders", pools, err)
		}
		for _, e := range pools[0].Holders {
			want := ""
			if e.ID() == h.Lease().ID {
				want = c.want
			}
			if e.KeepaliveNote != want {
				t.Errorf("List: note %q of %s, want %q", e.KeepaliveNote, e.ID(), want)
			}
		}
	}
	if _, err := s.another.Tell(s.ctx, h.Lease().ID, lease.Message{Kind: lease.MessageKeepalive, Note: long + "x"}); err == nil {
		t.Error("a note that is too long was taken")
	}
	s.release(h)
	next := s.take(Request("p", 2)) // in its slot
	pools, err := s.List(s.ctx, "p")
	if err != nil || pools[0].Holders[0].KeepaliveNote != "" {
		t.Errorf("List: %+v, %v; want no note of the lease before", pools, err)
	}
	s.release(next)
	s.release(other)
}

// slotNames: a lease has the names that its slots had at the grant.
func slotNames(t *testing.T, s *suite) {
	three := 3
	names := []string{"cuda0", "cuda 1", "ü2"}
	if err := s.Set(s.ctx, "p", func(own lease.Settings, err error) (lease.Settings, error) {
		own.Limit, own.Names = &three, names
		return own, err
	}); err != nil {
		t.Fatal(err)
	}
	a := s.take(Request("p", 0))
	b := s.take(with(Request("p", 0), func(r *lease.Request) { r.Weight = 2 }))
	for _, c := range []struct {
		h    lease.Holding
		want []string
	}{{a, names[:1]}, {b, names[1:]}} {
		if got := c.h.Lease().SlotNames; !slices.Equal(got, c.want) {
			t.Errorf("slots %v have the names %q, want %q", c.h.Lease().Slots, got, c.want)
		}
	}
	s.release(a)
	p := s.line(Request("p", 0))
	if got := s.get(p).Lease().SlotNames; !slices.Equal(got, names[:1]) {
		t.Errorf("from the line: names %q, want %q", got, names[:1])
	}

	// A change of something else keeps them, and one of the names is for the next lease.
	s.setConditions("p", lease.Conditions{Ramp: time.Millisecond})
	pools, err := s.List(s.ctx, "p")
	if err != nil || !slices.Equal(pools[0].Own.Names, names) {
		t.Errorf("List: %+v, %v; want the names %q", pools, err, names)
	}
	s.setConditions("p", lease.Conditions{})
	if err := s.Set(s.ctx, "p", func(own lease.Settings, err error) (lease.Settings, error) {
		own.Names = nil
		return own, err
	}); err != nil {
		t.Fatal(err)
	}
	for _, e := range s.mustList("p").Holders {
		if len(e.Lease.SlotNames) != len(e.Lease.Slots) {
			t.Errorf("List: slots %v have the names %q", e.Lease.Slots, e.Lease.SlotNames)
		}
	}
	s.release(b)
	c := s.take(Request("p", 0))
	if got := c.Lease().SlotNames; got != nil {
		t.Errorf("names %q in a pool that names no slots", got)
	}
	s.release(c)
}

func (s *suite) mustList(pool string) lease.Pool {
	s.Helper()
	pools, err := s.List(s.ctx, pool)
	if err != nil {
		s.Fatal(err)
	}
	return pools[0]
}
