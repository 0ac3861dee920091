package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/clock"
)

func gatedRequest(gates string) lease.Request {
	return with(Request("p", 3), func(r *lease.Request) { r.Gates = gates })
}

// asked is a clearance as if these gates had been asked now.
func (s *suite) asked(gates ...string) lease.Clearance {
	s.Helper()
	p, err := s.Summary(s.ctx, "p", lease.Ticket{})
	if err != nil {
		s.Fatal(err)
	}
	return lease.Clearance{Gates: gates, Last: p.Starts.Last, At: s.Clock()}
}

// get1 takes the slots of a place in one call, after these gates were asked.
func (s *suite) get1(p lease.Place, asked ...string) lease.Holding {
	s.Helper()
	h, v, err := p.TryAcquire(s.ctx, s.asked(asked...))
	if h == nil || err != nil {
		s.Fatalf("Place.TryAcquire, asked %q: %+v, %v; want a lease", asked, v, err)
	}
	return h
}

func set(t *testing.T, s *suite) {
	four, boom := 4, errors.New("no")
	if err := s.setLimit("p", &four); err != nil {
		t.Fatal(err)
	}
	want := lease.Conditions{Gates: "g", MinSlots: 2, Ramp: time.Minute, Rate: lease.Pace{Every: time.Second, Burst: 3}, Need: lease.Need{Mem: 5, CPU: 0.5}}
	s.setConditions("p", want)
	at := time.Now().Round(0)
	if err := s.Set(s.ctx, "p", func(old lease.Settings, err error) (lease.Settings, error) {
		old.SetBy, old.SetAt, old.Reason = "ann@box", at, "tea\nbreak"
		return old, err
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Set(s.ctx, "p", func(old lease.Settings, _ error) (lease.Settings, error) {
		old.Limit, old.Gates, old.Reason = nil, "", ""
		return old, boom
	}); !errors.Is(err, boom) {
		t.Errorf("%v, want what change returned", err)
	}
	pools, err := s.List(s.ctx, "p")
	if err != nil || pools[0].Own.Limit == nil || *pools[0].Own.Limit != 4 || pools[0].Own.Conditions != want {
		t.Errorf("%+v, %v; want a limit of 4 and %+v", pools, err, want)
	}
	if own := pools[0].Own; own.SetBy != "ann@box" || !own.SetAt.Equal(at) || own.Reason != "tea\nbreak" {
		t.Errorf("set by %q at %v for %q", own.SetBy, own.SetAt, own.Reason)
	}
	five := 5
	if err := s.setLimit("p", &five); err != nil {
		t.Fatal(err)
	}
	s.setConditions("p", lease.Conditions{})
	if v := s.refused(with(Request("p", 5), func(r *lease.Request) { r.Weight = 9 }), lease.TooHeavy); v.Own.Reason != "tea\nbreak" {
		t.Errorf("verdict %+v; want the reason in it", v)
	}
}

func gated(t *testing.T, s *suite) {
	v := s.refused(gatedRequest("g"), lease.Gated)
	if !slices.Equal(v.Gates, []string{"g"}) || v.SinceStart >= 0 {
		t.Errorf("verdict %+v, want gates g to be asked, and no start known", v)
	}
	a, b := s.line(gatedRequest("g")), s.line(gatedRequest("g"))
	s.notYet(a, lease.Gated)
	s.notYet(b, lease.Behind)
	s.refused(Request("p", 3), lease.Behind) // no request passes one that waits for a gate
	if h, v, err := b.TryAcquire(s.ctx, s.asked("g")); h != nil || v.Reason != lease.Behind {
		t.Errorf("%v, %v, %v: an open gate must not pass the line", h, v, err)
	}
	h := s.get1(a, "g")
	if pools, err := s.List(s.ctx, "p"); err != nil || pools[0].Used != 1 {
		t.Errorf("%+v, %v: want one slot in use, and none for the waiter that asks its gates", pools, err)
	}
	s.notYet(b, lease.Gated)
	s.release(h)
	s.release(s.get1(b, "g"))
	empty(t, s, "p")
}

// staleAnswer: an answer from before another start is not valid.
func staleAnswer(t *testing.T, s *suite) {
	p := s.line(gatedRequest("g"))
	_, v, err := p.TryAcquire(s.ctx, lease.Clearance{})
	if err != nil || v.Reason != lease.Gated {
		t.Fatalf("%+v, %v; want gated", v, err)
	}
	asked := lease.Clearance{Gates: v.Gates, Last: v.Last, At: s.Clock()}
	s.release(s.take(with(Request("p", 3), func(r *lease.Request) { r.Priority = -1 })))
	if h, v, err := p.TryAcquire(s.ctx, asked); h != nil || err != nil || v.Reason != lease.Gated {
		t.Fatalf("%v, %+v, %v; want gated: there was a start since", h, v, err)
	}
	old := s.asked("g")
	old.At = old.At.Add(-lease.ClearanceTTL - time.Second)
	if h, v, err := p.TryAcquire(s.ctx, old); h != nil || err != nil || v.Reason != lease.Gated {
		t.Fatalf("%v, %+v, %v; want gated: it was asked long ago", h, v, err)
	}
	s.release(s.get1(p, "g"))
}

func newGates(t *testing.T, s *suite) {
	p := s.line(gatedRequest("mine"))
	s.setConditions("p", lease.Conditions{Gates: "pool", MinSlots: 1})
	h := s.get1(p, "mine") // fewer in use than the pool's gates are asked from
	q := s.line(gatedRequest("mine"))
	for _, asked := range [][]string{nil, {"mine"}, {"pool"}, {"mine", "pool before"}} {
		if h, v, err := q.TryAcquire(s.ctx, s.asked(asked...)); h != nil || err != nil || v.Reason != lease.Gated {
			t.Fatalf("asked %q: %v, %+v, %v; want gated", asked, h, v, err)
		}
	}
	other := s.line(Request("p", 3)) // has no gates of its own
	s.release(s.get1(q, "mine", "pool"))
	s.notYet(other, lease.Gated)
	got := make(chan error, 1)
	go func() {
		h, err := Get(s.ctx, other)
		if err == nil {
			err = h.Release(s.ctx)
		}
		got <- err
	}()
	s.setConditions("p", lease.Conditions{})
	if err := <-got; err != nil {
		t.Errorf("gates that were taken away did not wake the waiter: %v", err)
	}
	s.release(h)
}

// every is the pace of these tests, longer than a step takes.
const every = 80 * time.Millisecond

func pacedRequest() lease.Request {
	return with(Request("p", 100), func(r *lease.Request) { r.Ramp = every })
}

func paced(t *testing.T, s *suite) {
	s.setConditions("p", lease.Conditions{Ramp: time.Hour})
	h := s.take(Request("p", 5))
	if v := s.refused(Request("p", 5), lease.Paced); v.After <= 0 || v.After > time.Hour {
		t.Errorf("verdict %+v, want up to an hour", v)
	}
	p := s.line(Request("p", 5))
	s.notYet(p, lease.Paced)
	s.refused(Request("p", 5), lease.Behind)
	s.setConditions("p", lease.Conditions{})
	if !s.shape.Grants {
		s.refused(Request("p", 5), lease.Behind)
	}
	s.release(s.get(p))
	s.release(h)
}

// pacedTogether: starts of several waiters are apart, and a waiter wakes by itself when
// its pace lets it start.
func pacedTogether(t *testing.T, s *suite) {
	var mu sync.Mutex
	var at []clock.Instant
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			p, err := s.Line(s.ctx, pacedRequest())
			if err != nil {
				t.Error(err)
				return
			}
			h, err := Get(s.ctx, p)
			if err != nil {
				t.Error(err)
				return
			}
			pools, err := s.List(s.ctx, "p")
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			at = append(at, pools[0].Starts.Last)
			mu.Unlock()
			if err := h.Release(context.WithoutCancel(s.ctx)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	slices.Sort(at)
	for i := 1; i < len(at); i++ {
		// A waiter that reads it late sees a later start, and the same one as its holder.
		if d := at[i].Sub(at[i-1]); d != 0 && d < every {
			t.Errorf("starts at %v: two are %v apart, less than %v", at, d, every)
		}
	}
}

func burst(t *testing.T, s *suite) {
	long := with(Request("p", 100), func(r *lease.Request) { r.Rate = lease.Pace{Every: time.Hour, Burst: 3} })
	s.release(s.take(long))
	s.release(s.take(Request("p", 100))) // keeps to no pace, and counts
	s.release(s.take(with(long, func(r *lease.Request) { r.ID = lease.NewID("p") })))
	s.refused(long, lease.Paced)
	s.release(s.take(Request("p", 100)))
	if v := s.refused(long, lease.Paced); v.After <= 59*time.Minute || v.After > time.Hour {
		t.Errorf("verdict %+v, want an hour: four have started, and it cannot be emptier than empty", v)
	}
}

func need(t *testing.T, s *suite) {
	s.setConditions("p", lease.Conditions{Need: lease.Need{Mem: 7}})
	a := s.take(Request("p", 5))
	b := s.take(with(Request("p", 5), func(r *lease.Request) { r.Need = lease.Need{CPU: 2} }))
	pools, err := s.List(s.ctx, "p")
	if err != nil || len(pools[0].Holders) != 2 {
		t.Fatalf("%+v, %v", pools, err)
	}
	if got := pools[0].Holders[0].Lease.Need; got != (lease.Need{Mem: 7}) {
		t.Errorf("need %+v, want the pool's", got)
	}
	if got := pools[0].Holders[1].Lease.Need; got != (lease.Need{CPU: 2}) {
		t.Errorf("need %+v, want its own", got)
	}
	s.release(a)
	s.release(b)
}

func report(t *testing.T, s *suite) {
	p := s.line(gatedRequest("g"))
	s.notYet(p, lease.Gated)
	before, data := s.Clock(), json.RawMessage(`{"a":[1,"b"]}`)
	if err := p.Report(s.ctx, "no memory", data); err != nil {
		t.Fatal(err)
	}
	for _, why := range []string{"no memory", "no CPU"} {
		sum, err := s.Summary(s.ctx, "p", p.Ticket())
		if err != nil || sum.Report == nil {
			t.Fatalf("%+v, %v: want a report", sum, err)
		}
		if r := sum.Report; r.By != p.Ticket().ID || r.Why != why || string(r.Data) != string(data) || r.At < before {
			t.Errorf("report %+v, want %q", r, why)
		}
		if err := p.Report(s.ctx, "no CPU", data); err != nil {
			t.Fatal(err)
		}
	}
	s.release(s.get1(p, "g"))
	empty(t, s, "p")
}
