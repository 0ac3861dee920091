package limiter

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"berth/lease"
	"berth/lease/memstore"
)

// TestNoCircle: callers that take slots of several pools in the order of lease.InOrder all get
// them, whatever they typed. Time passes only while all of them wait, so an hour is over at once
// if they wait for each other; and in the order typed two of them do.
func TestNoCircle(t *testing.T) {
	typed := func(rs []lease.Request) []lease.Request { return rs }
	for _, c := range []struct {
		name    string
		order   func([]lease.Request) []lease.Request
		callers int
		rounds  int
		circle  bool
	}{
		{"in order", lease.InOrder, 12, 50, false},
		{"as typed", typed, 2, 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &memstore.Store{}
				names := []string{"a", "b", "c", "d"}
				for i, name := range names {
					setLimit(t, s, name, 1+i%2)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				failed := make(chan error, c.callers)
				for i := range c.callers {
					go func() { failed <- loop(ctx, s, c.order, names, i, c.rounds) }()
				}
				var err error
				for range c.callers {
					err = errors.Join(err, <-failed)
				}
				if circle := errors.As(err, new(*BusyError)); circle != c.circle {
					t.Errorf("a circle: %t; %v", circle, err)
				}
				pools, err := s.List(t.Context())
				for _, p := range pools {
					if len(p.Holders)+len(p.Waiters) > 0 || err != nil {
						t.Errorf("left in pool %s: %d holders, %d waiters; %v", p.Name, len(p.Holders), len(p.Waiters), err)
					}
				}
			})
		})
	}
}

func setLimit(t *testing.T, s lease.Store, pool string, n int) {
	t.Helper()
	set := func(own lease.Settings, err error) (lease.Settings, error) {
		own.Limit = &n
		return own, err
	}
	if err := s.Set(t.Context(), pool, set); err != nil {
		t.Fatal(err)
	}
}

// loop takes slots of some pools and gives them back, round after round. The first two callers
// take those of a and c, in opposite orders.
func loop(ctx context.Context, s lease.Store, order func([]lease.Request) []lease.Request, names []string, caller, rounds int) error {
	r := rand.New(rand.NewPCG(uint64(caller), 1))
	for round := range rounds {
		pools := [][]string{{"a", "c"}, {"c", "a"}}[caller%2]
		if caller > 1 {
			pools = nil
			for _, i := range r.Perm(len(names))[:1+r.IntN(len(names))] {
				pools = append(pools, names[i])
			}
		}
		var requests []lease.Request
		for _, p := range pools {
			requests = append(requests, lease.Request{ID: fmt.Sprintf("%s/%d-%d", p, caller, round), Pool: p, Weight: 1, Fallback: 1})
		}
		if err := takeAll(ctx, s, order(requests), r); err != nil {
			return err
		}
	}
	return nil
}

func takeAll(ctx context.Context, s lease.Store, requests []lease.Request, r *rand.Rand) (err error) {
	var held Sessions
	defer func() { err = errors.Join(err, held.Unused(context.WithoutCancel(ctx))) }()
	for _, q := range requests {
		one, err := Acquire(ctx, s, q, Options{})
		if err != nil {
			return err
		}
		held = held.With(one)
		time.Sleep(time.Duration(1+r.IntN(5)) * time.Millisecond)
	}
	return nil
}
