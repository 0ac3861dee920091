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

// away is a store that cannot be reached for some calls.
type away struct {
	*memstore.Store
	calls int // that fail yet
	tries int // without a ticket
	err   error
}

func (s *away) out() error {
	if s.calls == 0 {
		return nil
	}
	s.calls--
	return s.err
}

func (s *away) TryAcquire(ctx context.Context, r lease.Request) (lease.Holding, lease.Verdict, error) {
	s.tries++
	if err := s.out(); err != nil {
		return nil, lease.Verdict{}, err
	}
	return s.Store.TryAcquire(ctx, r)
}

func (s *away) Line(ctx context.Context, r lease.Request) (lease.Place, error) {
	if err := s.out(); err != nil {
		return nil, err
	}
	return s.Store.Line(ctx, r)
}

var errAway = &lease.UnreachableError{Store: "s", Err: errors.New("connection reset by peer")}

// TestAcquireInAnOutage: a caller that waits also waits for its store, from the first step
// on, and says so; one that does not wait gets the error.
func TestAcquireInAnOutage(t *testing.T) {
	for _, c := range []struct {
		name         string
		calls        int
		o            Options
		key          string
		tries, notes int
		fails        bool
	}{
		{"OneReset", 1, Options{}, "", 1, 0, false},
		{"Long", 100, Options{}, "", 1, 1, false},
		{"ToldBefore", 100, Options{Outage: errAway}, "", 0, 1, false},
		{"Key", 100, Options{}, "k", 0, 1, false},
		{"NotWaiting", 1, Options{Now: true}, "", 1, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &away{Store: &memstore.Store{}, calls: c.calls, err: errAway}
				notes := 0
				c.o.Trouble = func(err error) {
					if notes++; err != error(errAway) {
						t.Errorf("told %v", err)
					}
				}
				r := storetest.Request("p", 1)
				r.Key = c.key
				h, err := Acquire(t.Context(), s, r, c.o)
				switch {
				case c.fails && !errors.Is(err, errAway):
					t.Errorf("%v, %v; want what is wrong with the store", h, err)
				case !c.fails && err != nil:
					t.Errorf("%v, want the slot", err)
				case !c.fails:
					_ = h.Close(t.Context())
				}
				if s.tries != c.tries || notes != c.notes {
					t.Errorf("%d tries without a ticket and %d notes, want %d and %d", s.tries, notes, c.tries, c.notes)
				}
			})
		})
	}
}

// TestGatesInAnOutage: gates that could not read the pool are asked again once it can be read.
func TestGatesInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := storetest.Request("p", 1)
		r.Gates = "g"
		asked := 0
		ask := func(context.Context, lease.Verdict) (GateState, error) {
			if asked++; asked < 3 {
				return GateState{}, errAway
			}
			return GateState{Open: true}, nil
		}
		h, err := Acquire(t.Context(), &memstore.Store{}, r, Options{Ask: ask})
		if err != nil || asked != 3 {
			t.Fatalf("%v, after gates were asked %d times; want the slot after 3", err, asked)
		}
		_ = h.Close(t.Context())
	})
}

// TestAcquireOutlasted: where the time is over before the store is back, it was the store
// that could not be had.
func TestAcquireOutlasted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &away{Store: &memstore.Store{}, calls: -1, err: errAway}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begun := time.Now()
		_, err := Acquire(ctx, s, storetest.Request("p", 1), Options{})
		if errors.As(err, new(*BusyError)) || !errors.Is(err, errAway) || time.Since(begun) != time.Minute {
			t.Errorf("%v after %v, want what is wrong with the store after a minute", err, time.Since(begun))
		}
		cut := &lease.UnreachableError{Store: "s", Err: context.DeadlineExceeded}
		brief := &away{Store: &memstore.Store{}, calls: -1, err: cut}
		if _, err := Acquire(ctx, brief, storetest.Request("p", 1), Options{Outage: errAway}); !errors.Is(err, errAway) {
			t.Errorf("%v, want what was wrong before the time was over", err)
		}
		cause := errors.New("a signal")
		signalled, end := context.WithCancelCause(t.Context())
		time.AfterFunc(3*time.Second, func() { end(cause) })
		if _, err := Acquire(signalled, s, storetest.Request("p", 1), Options{}); err != cause {
			t.Errorf("%v, want the cause", err)
		}
	})
}

// TestAcquireRefused: what does not pass is not waited for.
func TestAcquireRefused(t *testing.T) {
	refused := &lease.RefusedError{Store: "s", Err: errors.New("it wants a password")}
	s := &away{Store: &memstore.Store{}, calls: 1, err: refused}
	if _, err := Acquire(t.Context(), s, storetest.Request("p", 1), Options{}); !errors.Is(err, refused) || s.tries != 1 {
		t.Errorf("%v after %d tries, want what is wrong with the store", err, s.tries)
	}
}
