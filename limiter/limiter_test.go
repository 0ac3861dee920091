package limiter

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"berth/lease"
	"berth/lease/memstore"
	"berth/lease/storetest"
)

func TestAcquire(t *testing.T) {
	ctx := t.Context()
	s := &memstore.Store{}
	h, err := Acquire(ctx, s, storetest.Request("p", 1), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var busy *BusyError
	if _, err := Acquire(ctx, s, storetest.Request("p", 1), Options{Now: true}); !errors.As(err, &busy) || busy.Verdict.Reason != lease.Full || busy.Kept {
		t.Errorf("%v, want a BusyError: full", err)
	}
	heavy := storetest.Request("p", 1)
	heavy.Weight = 2
	if _, err := Acquire(ctx, s, heavy, Options{}); !errors.Is(err, lease.ErrTooHeavy) {
		t.Errorf("%v, want ErrTooHeavy", err)
	}
	keyed := storetest.Request("p", 1)
	keyed.Key = "k"
	if _, err := Acquire(ctx, s, keyed, Options{Now: true}); !errors.As(err, &busy) || !busy.Kept {
		t.Errorf("%v, want a BusyError that keeps the place", err)
	}
	if err := h.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

// tries counts how often a request without a ticket tries.
type tries struct {
	*memstore.Store
	n int
}

func (s *tries) TryAcquire(ctx context.Context, r lease.Request) (lease.Holding, lease.Verdict, error) {
	s.n++
	return s.Store.TryAcquire(ctx, r)
}

// TestAcquireAfterAVerdict: a caller that was refused a moment ago lines up, and does not ask for
// the same again.
func TestAcquireAfterAVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &tries{Store: &memstore.Store{}}
		h, err := Acquire(t.Context(), s, storetest.Request("p", 1), Options{})
		if err != nil {
			t.Fatal(err)
		}
		r := storetest.Request("p", 1)
		var busy *BusyError
		if _, err := Acquire(t.Context(), s, r, Options{Now: true}); !errors.As(err, &busy) {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, func() { _ = h.Close(context.Background()) })
		h, err = Acquire(t.Context(), s, r, Options{Verdict: busy.Verdict})
		if err != nil {
			t.Fatal(err)
		}
		_ = h.Close(t.Context())
		if s.n != 2 {
			t.Errorf("asked %d times without a ticket, want 2", s.n)
		}
	})
}

func TestAcquireWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &memstore.Store{}
		h, err := Acquire(t.Context(), s, storetest.Request("p", 1), Options{})
		if err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var busy *BusyError
		if _, err := Acquire(short, s, storetest.Request("p", 1), Options{}); !errors.As(err, &busy) {
			t.Errorf("%v, want a BusyError after the time allowed", err)
		}
		cause := errors.New("a signal")
		killed, kill := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { kill(cause) })
		if _, err := Acquire(killed, s, storetest.Request("p", 1), Options{}); !errors.Is(err, cause) {
			t.Errorf("%v, want the cause of the cancellation", err)
		}
		if pools, err := s.List(t.Context(), "p"); err != nil || len(pools[0].Waiters) > 0 {
			t.Errorf("%v, %v: want no ticket left", pools, err)
		}
		time.AfterFunc(time.Minute, func() { _ = h.Close(context.Background()) })
		h2, err := Acquire(t.Context(), s, storetest.Request("p", 1), Options{})
		if err != nil {
			t.Fatal(err)
		}
		_ = h2.Close(t.Context())
	})
}

// TestInterrupt: what is to be done with the place is done while Wait does not run
// on it, and the waiter then looks again.
func TestInterrupt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &memstore.Store{}
		h, err := Acquire(t.Context(), s, storetest.Request("p", 1), Options{})
		if err != nil {
			t.Fatal(err)
		}
		var in Interrupts
		did := false
		time.AfterFunc(time.Second, func() {
			in.Do(func(ctx context.Context, p lease.Place) error {
				did = true
				_, err := s.Tell(ctx, p.Ticket().ID, lease.Message{Kind: lease.MessageStop, Stop: lease.Stop{Reason: "enough"}})
				return err
			})
		})
		var stopped *lease.StoppedError
		_, err = Acquire(t.Context(), s, storetest.Request("p", 1), Options{Interrupts: &in})
		if !did || !errors.As(err, &stopped) || stopped.Reason != "enough" {
			t.Errorf("did %v, %v; want a StoppedError", did, err)
		}
		_ = h.Close(t.Context())
	})
}

// TestInterruptAtTheEnd: the time allowed ends, or a signal comes, while
// something is done with the place. That is why the wait ends, not that it was
// interrupted.
func TestInterruptAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &memstore.Store{}
		h, err := Acquire(t.Context(), s, storetest.Request("p", 1), Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close(t.Context())
		var in Interrupts
		stopped := func(ctx context.Context, p lease.Place) error {
			time.Sleep(time.Minute) // as if stopped for so long
			return nil
		}
		short, cancel := context.WithTimeout(t.Context(), 2*time.Second+time.Millisecond)
		defer cancel()
		time.AfterFunc(time.Second, func() { in.Do(stopped) })
		var busy *BusyError
		if _, err := Acquire(short, s, storetest.Request("p", 1), Options{Interrupts: &in}); !errors.As(err, &busy) {
			t.Errorf("%v, want a BusyError", err)
		}
		cause := errors.New("a signal")
		killed, kill := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { in.Do(stopped) })
		time.AfterFunc(2*time.Second+time.Millisecond, func() { kill(cause) })
		if _, err := Acquire(killed, s, storetest.Request("p", 1), Options{Interrupts: &in}); !errors.Is(err, cause) {
			t.Errorf("%v, want the cause of the cancellation", err)
		}
	})
}
