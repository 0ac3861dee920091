package storetest

import (
	"testing"
	"time"

	"berth/lease"
	"berth/lease/clock"
)

func (s *suite) unused(h lease.Holding) {
	s.Helper()
	if err := h.Unused(s.ctx); err != nil {
		s.Fatal(err)
	}
}

// hourly is a request that allows one start an hour, and so many at once.
func hourly(burst int) lease.Request {
	return with(Request("p", 100), func(r *lease.Request) { r.Rate = lease.Pace{Every: time.Hour, Burst: burst} })
}

// unused: a lease that was given back unused counts for no pace.
func unused(t *testing.T, s *suite) {
	ramp := func() lease.Request {
		return with(Request("p", 100), func(r *lease.Request) { r.Ramp = time.Hour })
	}
	s.unused(s.take(ramp()))
	s.unused(s.take(hourly(1)))
	s.unused(s.take(ramp()))
	s.setConditions("p", lease.Conditions{Rate: lease.Pace{Every: time.Hour, Burst: 1}})
	s.unused(s.take(Request("p", 100)))
	s.setConditions("p", lease.Conditions{})
	empty(t, s, "p")
	s.release(s.take(hourly(1)))
	s.refused(hourly(1), lease.Paced)
	s.refused(ramp(), lease.Paced)

	// The one before counts as it did.
	s.unused(s.take(Request("p", 100)))
	s.refused(hourly(1), lease.Paced)
	if v := s.refused(ramp(), lease.Paced); v.After > time.Hour || v.After < 59*time.Minute {
		t.Errorf("verdict %+v, want an hour since the first", v)
	}
}

// unusedOfABurst: when any of three at once is given back unused, one more may start.
// Given back twice, or after use, a lease gives nothing.
func unusedOfABurst(t *testing.T, s *suite) {
	for i := range 3 {
		pool := []string{"first", "second", "third"}[i]
		r := func() lease.Request {
			return with(hourly(3), func(r *lease.Request) { r.ID, r.Pool = lease.NewID(pool), pool })
		}
		held := []lease.Holding{s.take(r()), s.take(r()), s.take(r())}
		s.refused(r(), lease.Paced)
		s.unused(held[i])
		more := s.take(r())
		s.refused(r(), lease.Paced)

		s.unused(held[i])
		s.release(held[i])
		s.release(more)
		s.unused(more)
		s.refused(r(), lease.Paced)
		for j, h := range held {
			if j != i {
				s.release(h)
			}
		}
		empty(t, s, pool)
	}
}

// unusedWakes: a waiter that the pace held back may start at once.
func unusedWakes(t *testing.T, s *suite) {
	h := s.take(hourly(1))
	p := s.line(hourly(1))
	s.notYet(p, lease.Paced)
	got := make(chan error, 1)
	go func() {
		h, err := Get(s.ctx, p)
		if err == nil {
			err = h.Release(s.ctx)
		}
		got <- err
	}()
	s.unused(h)
	if err := <-got; err != nil {
		t.Errorf("a start that was taken back did not wake the waiter: %v", err)
	}
	s.refused(hourly(1), lease.Paced)
}

// unseen: a grant that its waiter has not seen when it leaves, or steps aside, does not
// count.
func unseen(t *testing.T, s *suite) {
	for _, pool := range []string{"left", "aside"} {
		r := func(limit, priority int) lease.Request {
			return with(hourly(2), func(r *lease.Request) {
				r.ID, r.Pool, r.Limit, r.Priority = lease.NewID(pool), pool, limit, priority
			})
		}
		h := s.take(r(1, 0))
		p := s.line(r(1, 0))
		s.notYet(p, lease.Full)
		s.release(h) // which grants it, in some stores
		if pool == "aside" {
			if err := p.StepAside(s.ctx); err != nil {
				t.Fatal(err)
			}
			defer p.Leave(s.ctx)
		} else if err := p.Leave(s.ctx); err != nil {
			t.Fatal(err)
		}
		h = s.take(r(100, -1))
		s.refused(r(100, -1), lease.Paced)
		s.release(h)
	}
}

// unusedAndLost: a lost lease that is given back unused counts for no pace, if it was the
// last.
func unusedAndLost(t *testing.T, s *suite) {
	if s.shape.NoTTL != "" {
		return
	}
	mortal := func() lease.Request {
		return with(hourly(2), func(r *lease.Request) { r.TTL = s.shape.TTL })
	}
	lost := func(h lease.Holding) {
		for used := 1; used > 0; time.Sleep(s.shape.TTL / 10) {
			pools, err := s.List(s.ctx, "p")
			if err != nil {
				t.Fatal(err)
			}
			used = pools[0].Used
		}
		if clock.Now() < h.Expires() {
			t.Errorf("it is gone, and holds until %v", h.Expires())
		}
	}
	h := s.take(mortal())
	lost(h)
	s.unused(h)
	s.unused(h)
	a, b := s.take(hourly(2)), s.take(hourly(2))
	s.refused(hourly(2), lease.Paced)
	s.unused(h) // twice, and others have started since
	s.refused(hourly(2), lease.Paced)
	s.release(a)
	s.release(b)
}
