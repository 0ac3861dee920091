package limiter

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"berth/lease"
	"berth/lease/memstore"
	"berth/lease/storetest"
)

// gates are asked one after the other; each answer counts once.
type gates struct {
	answers []GateState
	at      []time.Duration // since the first was asked
	start   time.Time
}

func (g *gates) ask(context.Context, lease.Verdict) (GateState, error) {
	if len(g.at) == 0 {
		g.start = time.Now()
	}
	g.at = append(g.at, time.Since(g.start))
	a := g.answers[0]
	if len(g.answers) > 1 {
		g.answers = g.answers[1:]
	}
	return a, nil
}

func gatedRequest() lease.Request {
	r := storetest.Request("p", 2)
	r.Gates = "g"
	return r
}

// TestGates: they are asked again when they said so, and when a slot frees.
func TestGates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &memstore.Store{}
		other, err := Acquire(t.Context(), s, storetest.Request("p", 2), Options{})
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Minute, func() { _ = other.Close(context.Background()) })
		g := &gates{answers: []GateState{{Again: time.Second}, {Undecided: true, Again: 2 * time.Second}, {Again: time.Hour}, {Open: true}}}
		h, err := Acquire(t.Context(), s, gatedRequest(), Options{Ask: g.ask})
		if err != nil {
			t.Fatal(err)
		}
		if want := "[0s 1s 3s 1m0s]"; fmt.Sprint(g.at) != want {
			t.Errorf("asked at %v, want %s", g.at, want)
		}
		_ = h.Close(t.Context())
	})
}

// TestGatesNow: a caller that does not wait takes the first answer that is one.
func TestGatesNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &memstore.Store{}
		for _, c := range []struct {
			answers []GateState
			open    bool
		}{
			{[]GateState{{Undecided: true, Again: time.Second}, {Open: true}}, true},
			{[]GateState{{Undecided: true, Again: time.Second}, {Why: "no memory", Again: time.Second}}, false},
		} {
			g := &gates{answers: c.answers}
			h, err := Acquire(t.Context(), s, gatedRequest(), Options{Now: true, Ask: g.ask})
			var busy *BusyError
			switch {
			case c.open && err != nil, !c.open && (!errors.As(err, &busy) || busy.Verdict.Why != "no memory"):
				t.Errorf("%+v: %v", c, err)
			case len(g.at) != 2:
				t.Errorf("%+v: asked %d times", c, len(g.at))
			}
			if h != nil {
				_ = h.Close(t.Context())
			}
		}
	})
}

// TestGatesAndTheTimeAllowed: the error tells what the gates said last, and an
// answer that does not come is not waited for.
func TestGatesAndTheTimeAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &memstore.Store{}
		n := 0
		ask := func(ctx context.Context, _ lease.Verdict) (GateState, error) {
			if n++; n == 2 {
				<-ctx.Done() // as a command that hangs
				return GateState{}, nil
			}
			return GateState{Why: "no memory", Again: time.Second}, nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var busy *BusyError
		if _, err := Acquire(ctx, s, gatedRequest(), Options{Ask: ask}); !errors.As(err, &busy) || busy.Verdict.Why != "no memory" {
			t.Errorf("%v, want a BusyError: no memory", err)
		}
		boom := errors.New("no pressure in this kernel")
		ask = func(context.Context, lease.Verdict) (GateState, error) { return GateState{}, boom }
		if _, err := Acquire(t.Context(), s, gatedRequest(), Options{Ask: ask}); !errors.Is(err, boom) {
			t.Errorf("%v, want %v", err, boom)
		}
		if pools, err := s.List(t.Context(), "p"); err != nil || len(pools[0].Waiters) > 0 {
			t.Errorf("%v, %v: want no ticket left", pools, err)
		}
	})
}

// TestInterruptWhileAsking: what is to be done with the place does not wait for
// the gates, and an answer that was cut off is none.
func TestInterruptWhileAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &memstore.Store{}
		var in Interrupts
		n, did := 0, false
		ask := func(ctx context.Context, _ lease.Verdict) (GateState, error) {
			if n++; n == 1 {
				<-ctx.Done()
				return GateState{Open: true}, nil
			}
			return GateState{Open: true}, nil
		}
		time.AfterFunc(time.Second, func() {
			in.Do(func(context.Context, lease.Place) error { did = true; return nil })
		})
		h, err := Acquire(t.Context(), s, gatedRequest(), Options{Ask: ask, Interrupts: &in})
		if err != nil || !did || n != 2 {
			t.Fatalf("%v, did %v, asked %d times", err, did, n)
		}
		_ = h.Close(t.Context())
	})
}

// TestAnswerIsNotWaitedFor: what makes the gates needless, or others of them, ends
// a question that takes long; a mere event does not.
func TestAnswerIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &memstore.Store{}
		set := func(t lease.Conditions) {
			_ = s.Set(context.Background(), "p", func(own lease.Settings, _ error) (lease.Settings, error) {
				own.Conditions = t
				return own, nil
			})
		}
		set(lease.Conditions{Gates: "slow"})
		var got []string
		ask := func(ctx context.Context, v lease.Verdict) (GateState, error) {
			got = append(got, v.Gates[0])
			select {
			case <-ctx.Done():
				return GateState{Open: true}, nil
			case <-time.After(time.Hour):
				return GateState{Open: true}, nil
			}
		}
		time.AfterFunc(time.Minute, func() { set(lease.Conditions{Gates: "slow", Ramp: time.Hour}) })
		time.AfterFunc(2*time.Minute, func() { set(lease.Conditions{Gates: "slower"}) })
		time.AfterFunc(3*time.Minute, func() { set(lease.Conditions{Gates: "slower", Ramp: time.Second}) }) // the same question
		time.AfterFunc(4*time.Minute, func() { set(lease.Conditions{}) })
		start := time.Now()
		h, err := Acquire(t.Context(), s, storetest.Request("p", 9), Options{Ask: ask})
		if err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d != 4*time.Minute || fmt.Sprint(got) != "[slow slower]" {
			t.Errorf("after %v, asked %v; want 4m and [slow slower]", d, got)
		}
		_ = h.Close(t.Context())
	})
}

// TestAnswerThatNeverComes: the time allowed ends, and the place is given up, also
// when the question does not hear that it is cancelled.
func TestAnswerThatNeverComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &memstore.Store{}
		never := make(chan struct{})
		var asked atomic.Int32
		ask := func(context.Context, lease.Verdict) (GateState, error) {
			asked.Add(1)
			<-never // as a disk whose server is gone
			return GateState{Open: true}, nil
		}
		var in Interrupts
		time.AfterFunc(time.Second, func() { in.Do(func(context.Context, lease.Place) error { return nil }) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		var busy *BusyError
		_, err := Acquire(ctx, s, gatedRequest(), Options{Ask: ask, Interrupts: &in})
		if !errors.As(err, &busy) || busy.Verdict.Why != "what the gates read does not come back" {
			t.Errorf("%v, want a BusyError that says so", err)
		}
		if d := time.Since(start); d > time.Minute+2*dropWithin || asked.Load() != 1 {
			t.Errorf("after %v, asked %d times", d, asked.Load())
		}
		if pools, err := s.List(t.Context(), "p"); err != nil || len(pools[0].Waiters) > 0 {
			t.Errorf("%v, %v: want no ticket left", pools, err)
		}
		close(never)
	})
}

// TestGatesAddedWhileAsking: all that hold are asked together. Asked in turn, each
// answer would make the one before it worthless.
func TestGatesAddedWhileAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &memstore.Store{}
		var got []string
		ask := func(_ context.Context, v lease.Verdict) (GateState, error) {
			got = append(got, fmt.Sprint(v.Gates))
			if len(got) == 1 {
				_ = s.Set(context.Background(), "p", func(own lease.Settings, _ error) (lease.Settings, error) {
					own.Gates = "pool"
					return own, nil
				})
			}
			return GateState{Open: len(got) < 10}, nil
		}
		h, err := Acquire(t.Context(), s, gatedRequest(), Options{Ask: ask, Now: true})
		if err != nil || fmt.Sprint(got) != "[[g] [pool g]]" {
			t.Fatalf("%v, asked %v", err, got)
		}
		_ = h.Close(t.Context())
	})
}

// TestOneAnswerOneStart: an answer that was used once is not used again.
func TestOneAnswerOneStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &memstore.Store{}
		g := &gates{answers: []GateState{{Open: true}}}
		for range 2 {
			h, err := Acquire(t.Context(), s, gatedRequest(), Options{Ask: g.ask})
			if err != nil {
				t.Fatal(err)
			}
			_ = h.Close(t.Context())
		}
		if len(g.at) != 2 {
			t.Errorf("asked %d times for two starts", len(g.at))
		}
	})
}
