package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"berth/lease"
)

func key(t *testing.T, s *suite) {
	keyed := func(k string) lease.Request {
		return with(Request("p", 1), func(r *lease.Request) { r.Key = k })
	}
	h := s.take(Request("p", 1))
	a := s.line(keyed("a"))
	b := s.line(Request("p", 1))
	if err := a.Leave(s.ctx); err != nil {
		t.Fatal(err)
	}
	s.notYet(b, lease.Full) // it does not block those behind it
	back := s.line(keyed("a"))
	if back.Ticket().Seq != a.Ticket().Seq {
		t.Errorf("came back as number %d, was %d", back.Ticket().Seq, a.Ticket().Seq)
	}
	s.notYet(b, lease.Behind)
	other := s.line(keyed("other"))
	s.notYet(other, lease.Behind)
	for _, p := range []lease.Place{back, b, other} {
		s.release(h)
		h = s.get(p)
	}
	s.release(h)
	empty(t, s, "p")
}

func keyOfStopped(t *testing.T, s *suite) {
	r := with(Request("p", 1), func(r *lease.Request) { r.Key = "k" })
	h := s.take(Request("p", 1))
	a := s.line(r)
	if err := a.StepAside(s.ctx); err != nil {
		t.Fatal(err)
	}
	b := s.line(with(r, func(r *lease.Request) { r.ID = lease.NewID("p") }))
	if b.Ticket().Seq == a.Ticket().Seq {
		t.Error("the place of a waiter that is only stopped was given to another")
	}
	if err := a.Return(s.ctx); err != nil {
		t.Fatal(err)
	}
	s.notYet(b, lease.Behind)
	s.release(h)
	s.release(s.get(a))
	s.release(s.get(b))
}

func aside(t *testing.T, s *suite) {
	h := s.take(Request("p", 1))
	a, b := s.line(Request("p", 1)), s.line(Request("p", 1))
	if err := a.StepAside(s.ctx); err != nil {
		t.Fatal(err)
	}
	s.notYet(b, lease.Full)
	if err := a.Return(s.ctx); err != nil {
		t.Fatal(err)
	}
	s.notYet(b, lease.Behind)
	s.release(h)
	s.release(s.get(a))
	s.release(s.get(b))
}

func stopWith(s lease.Stop) lease.Message { return lease.Message{Kind: lease.MessageStop, Stop: s} }

var busy = lease.Message{Kind: lease.MessageKeepalive}

func stop(t *testing.T, s *suite) {
	h := s.take(Request("p", 1))
	p := s.line(Request("p", 1))
	s.notYet(p, lease.Full)
	grace := time.Second
	want := lease.Stop{Reason: "node drain", By: "somebody", KillAfter: &grace}
	e, err := s.another.Tell(s.ctx, h.Lease().ID, stopWith(want))
	if err != nil || e.Lease == nil || e.Lease.Token != h.Lease().Token {
		t.Fatalf("Tell: %+v, %v", e, err)
	}
	g, err := h.Renew(s.ctx, 0)
	if err != nil || g.Stop == nil || g.Stop.Reason != want.Reason || g.Stop.KillAfter == nil || *g.Stop.KillAfter != grace {
		t.Errorf("Renew: %+v, %v; want the stop", g.Stop, err)
	}
	if e, err := s.another.Tell(s.ctx, p.Ticket().ID, stopWith(want)); err != nil || e.Ticket == nil {
		t.Fatalf("Tell of a waiter: %+v, %v", e, err)
	}
	for range 2 { // it may not have seen the first answer
		var stopped *lease.StoppedError
		if _, _, err := p.TryAcquire(s.ctx, lease.Clearance{}); !errors.As(err, &stopped) || stopped.Reason != want.Reason {
			t.Errorf("TryAcquire of a stopped waiter: %v", err)
		}
	}
	if err := p.Leave(s.ctx); err != nil {
		t.Fatal(err)
	}
	s.release(h)
	empty(t, s, "p")
}

// stopOfKept: a place that only its key keeps has no waiter that could leave.
func stopOfKept(t *testing.T, s *suite) {
	r := with(Request("p", 1), func(r *lease.Request) { r.Key, r.Grace = "k", time.Hour })
	h := s.take(Request("p", 1))
	a := s.line(r)
	if err := a.Leave(s.ctx); err != nil {
		t.Fatal(err)
	}
	if e, err := s.another.Tell(s.ctx, a.Ticket().ID, stopWith(lease.Stop{})); err != nil || e.Ticket == nil {
		t.Errorf("Tell of a place that is kept: %+v, %v", e, err)
	}
	back := s.line(with(r, func(r *lease.Request) { r.ID = lease.NewID("p") }))
	if back.Ticket().Seq == a.Ticket().Seq {
		t.Error("a place was kept that was told to go")
	}
	s.release(h)
	s.release(s.get(back))
	empty(t, s, "p")
}

// told: the last message of each kind counts, the kinds do not disturb each other, and a
// message that is refused leaves nothing.
func told(t *testing.T, s *suite) {
	h := s.take(Request("p", 1))
	p := s.line(Request("p", 1))
	holder, waiter := h.Lease().ID, p.Ticket().ID
	for _, c := range []struct {
		id  string
		m   lease.Message
		not bool // ErrNotFound
	}{
		{holder, lease.Message{Kind: "dance"}, false},
		{waiter, lease.Message{Kind: "dance"}, false},
		{holder, lease.Message{}, false},
		{holder, stopWith(lease.Stop{Reason: strings.Repeat("x", lease.MaxReason+1)}), false},
		{waiter, busy, true},
	} {
		if _, err := s.another.Tell(s.ctx, c.id, c.m); err == nil || errors.Is(err, lease.ErrNotFound) != c.not {
			t.Errorf("Tell(%s, %s): %v; want an error, ErrNotFound: %t", c.id, c.m.Kind, err, c.not)
		}
	}
	s.notYet(p, lease.Full)
	for _, m := range []lease.Message{stopWith(lease.Stop{Reason: "first"}), busy, stopWith(lease.Stop{Reason: "second"}), busy} {
		if e, err := s.another.Tell(s.ctx, holder, m); err != nil || e.Lease == nil || e.Lease.ID != holder {
			t.Errorf("Tell(%s): %+v, %v; want its record", m.Kind, e, err)
		}
	}
	if in, err := h.Renew(s.ctx, 0); err != nil || in.Stop == nil || in.Stop.Reason != "second" || in.Keepalive == 0 {
		t.Errorf("Renew: %+v, %v; want the second stop and a keepalive", in, err)
	}
	s.release(h)
	s.release(s.get(p))
	empty(t, s, "p")
}

func keepalive(t *testing.T, s *suite) {
	h := s.take(with(Request("p", 1), func(r *lease.Request) {
		r.Timeout, r.IdleTimeout = time.Hour, time.Minute
	}))
	if g, err := h.Renew(s.ctx, 0); err != nil || g.Keepalive != 0 {
		t.Errorf("Renew: %+v, %v; want none yet", g, err)
	}
	if pools, err := s.another.List(s.ctx, "p"); err != nil || pools[0].Holders[0].Keepalive != 0 {
		t.Errorf("List: %+v, %v; want none yet", pools, err)
	}
	before := s.Clock()
	if _, err := s.another.Tell(s.ctx, h.Lease().ID, busy); err != nil {
		t.Fatal(err)
	}
	g, err := h.Renew(s.ctx, 0)
	if err != nil || g.Keepalive < before || g.Keepalive > s.Clock() {
		t.Errorf("Renew: %+v, %v; want a keepalive from %v on", g, err, before)
	}
	pools, err := s.another.List(s.ctx, "p")
	if err != nil || len(pools[0].Holders) != 1 || pools[0].Holders[0].Keepalive < before || pools[0].Holders[0].Keepalive > s.Clock() {
		t.Errorf("List: %+v, %v; want a keepalive from %v on", pools, err, before)
	} else if l := pools[0].Holders[0].Lease; l.Timeout != time.Hour || l.IdleTimeout != time.Minute {
		t.Errorf("List: time limits %v and %v, want those of the request", l.Timeout, l.IdleTimeout)
	}
	s.release(h)
}

func tokens(t *testing.T, s *suite) {
	last := uint64(0)
	for range 5 {
		h := s.take(Request("p", 2))
		if tok := h.Lease().Token; tok <= last {
			t.Errorf("token %d after %d", tok, last)
		}
		last = h.Lease().Token
		s.release(h)
	}
}

func releaseTwice(t *testing.T, s *suite) {
	a := s.take(Request("p", 1))
	s.release(a)
	b := s.take(Request("p", 1))
	s.release(a) // must not give b's slot away
	s.refused(Request("p", 1), lease.Full)
	s.release(b)
}

func cancelled(t *testing.T, s *suite) {
	h := s.take(Request("p", 1))
	p, behind := s.line(Request("p", 1)), s.line(Request("p", 1))
	for _, w := range []lease.Place{p, behind} {
		if _, _, err := w.TryAcquire(s.ctx, lease.Clearance{}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(s.ctx, 20*time.Millisecond)
		for ctx.Err() == nil {
			_ = w.Wait(ctx)
		}
		cancel()
		if err := w.Leave(s.ctx); err != nil {
			t.Fatal(err)
		}
	}
	s.release(h)
	empty(t, s, "p")
	s.release(s.take(Request("p", 1)))
}

func unknown(t *testing.T, s *suite) {
	h := s.take(Request("p", 1))
	id := h.Lease().ID
	s.release(h)
	for _, id := range []string{id, "p/000000000000", "nopool/000000000000", "nonsense", ""} {
		for _, m := range []lease.Message{stopWith(lease.Stop{}), busy} {
			if _, err := s.Tell(s.ctx, id, m); !errors.Is(err, lease.ErrNotFound) {
				t.Errorf("Tell(%q, %s): %v, want ErrNotFound", id, m.Kind, err)
			}
		}
	}
}

func badPool(t *testing.T, s *suite) {
	for _, name := range []string{"", ".", "..", "a/b", "../x", ".hidden", "a b", "a\x00"} {
		if h, _, err := s.TryAcquire(s.ctx, Request(name, 1)); err == nil || h != nil {
			t.Errorf("TryAcquire in pool %q: no error", name)
		}
		if _, err := s.Line(s.ctx, Request(name, 1)); err == nil {
			t.Errorf("Line in pool %q: no error", name)
		}
		if err := s.setLimit(name, nil); err == nil {
			t.Errorf("Set of pool %q: no error", name)
		}
	}
}

func list(t *testing.T, s *suite) {
	r := with(Request("p", 2), func(r *lease.Request) {
		r.Labels, r.Command = map[string]string{"k": "v"}, []string{"make", "test"}
	})
	h := s.take(r)
	if err := h.Running(s.ctx, lease.Process{PID: 1 << 22, Start: 7}); err != nil {
		t.Fatal(err)
	}
	g := s.take(Request("p", 3))
	p := s.line(Request("p", 2))
	pools, err := s.List(s.ctx)
	if err != nil || len(pools) != 1 {
		t.Fatalf("List: %+v, %v", pools, err)
	}
	v := pools[0]
	if v.Name != "p" || v.Used != 2 || v.Limit == nil || *v.Limit != 2 || v.LimitBy != r.ID || v.Own.Limit != nil {
		t.Errorf("List: %+v", v)
	}
	if len(v.Holders) != 2 || len(v.Waiters) != 1 || v.Waiters[0].Ticket.ID != p.Ticket().ID {
		t.Fatalf("List: %+v", v)
	}
	l := v.Holders[0].Lease
	if l.ID != r.ID || l.Labels["k"] != "v" || fmt.Sprint(l.Command) != "[make test]" || l.Child == nil || l.Child.Start != 7 {
		t.Errorf("List: holder %+v", l)
	}
	q := s.line(Request("p", 2))
	sum, err := s.Summary(s.ctx, "p", q.Ticket())
	if err != nil || sum.Used != 2 || *sum.Limit != 2 || len(sum.Holders) != 2 || sum.Line != 2 || sum.Place != 2 {
		t.Errorf("Summary: %+v, %v; want place 2 of 2", sum, err)
	}
	if sum, err = s.Summary(s.ctx, "p", lease.Ticket{}); err != nil || sum.Line != 2 || sum.Place != 0 {
		t.Errorf("Summary for no ticket: %+v, %v; want place 0 of 2", sum, err)
	}
	if sum, err = s.Summary(s.ctx, "none", lease.Ticket{}); err != nil || sum.Name != "none" || sum.Line != 0 {
		t.Errorf("Summary of no pool: %+v, %v", sum, err)
	}
	s.release(h)
	s.release(g)
	s.release(s.get(p))
	s.release(s.get(q))
}
