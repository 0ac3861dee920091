package storetest

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"berth/lease"
)

// aging is a suite on a store that forgets pools which were not used for that long, and
// a way to see what is left of one.
func (s *suite) aging(age time.Duration) (*suite, func(pool string) []string) {
	if s.shape.NoForget != "" {
		return nil, nil
	}
	store, left := s.shape.Forgets(s.T, age)
	return &suite{s.T, s.ctx, store, store, s.shape}, left
}

func in(pool string, change ...func(*lease.Request)) lease.Request {
	r := Request(pool, 1)
	for _, c := range change {
		c(&r)
	}
	return r
}

func atRate(every time.Duration, burst int) func(*lease.Request) {
	return func(r *lease.Request) { r.Rate = lease.Pace{Every: every, Burst: burst} }
}

const day = 24 * time.Hour

// forgets: a pool that was not used for long goes, with all its keys or files, and no
// other pool. When it is made again its tokens are greater.
func forgets(t *testing.T, s *suite) {
	s, left := s.aging(time.Millisecond)
	if s == nil {
		return
	}
	use := func(pool string, change ...func(*lease.Request)) uint64 {
		h := s.take(in(pool, change...))
		s.release(h)
		return h.Lease().Token
	}
	was := use("idle")
	s.unused(s.take(in("unused")))
	if err := s.line(in("left")).Leave(s.ctx); err != nil {
		t.Fatal(err)
	}
	use("fast", atRate(time.Millisecond, 2))

	use("slow", atRate(30*day, 1))
	use("slow")
	use("burst", atRate(20*day, 2))
	three := 3
	if err := s.setLimit("set", &three); err != nil {
		t.Fatal(err)
	}
	use("set")
	held, first := s.take(in("held")), s.take(in("line"))
	waits := s.line(in("line"))
	s.notYet(waits, lease.Full)
	kept := s.line(in("kept", func(r *lease.Request) { r.Key = "k" }))
	if err := kept.Leave(s.ctx); err != nil {
		t.Fatal(err)
	}
	aside := s.line(in("aside"))
	if err := aside.StepAside(s.ctx); err != nil {
		t.Fatal(err)
	}

	// Once all that may go have gone, the others are older than those were.
	for _, pool := range []string{"idle", "unused", "left", "fast"} {
		for len(left(pool)) > 0 {
			if s.ctx.Err() != nil {
				t.Fatalf("pool %s is still there: %v", pool, left(pool))
			}
			use("other")
		}
	}
	use("other")
	pools, err := s.List(s.ctx)
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]lease.Pool{}
	for _, p := range pools {
		there[p.Name] = p
	}
	for pool, want := range map[string]bool{
		"idle": false, "unused": false, "left": false, "fast": false,
		"slow": true, "burst": true, "set": true, "held": true, "line": true, "kept": true, "aside": true,
	} {
		if _, is := there[pool]; is != want || len(left(pool)) > 0 != want {
			t.Errorf("pool %s is listed: %v, and there is %v of it; want it to be there: %v", pool, is, left(pool), want)
		}
	}
	if h, l := there["held"], there["line"]; len(h.Holders) != 1 || len(l.Holders) != 1 || len(l.Waiters) != 1 {
		t.Errorf("%+v, %+v; want a holder in each, and a waiter", h, l)
	}
	if own := there["set"].Own.Limit; own == nil || *own != three {
		t.Errorf("the limit of a pool with settings is %v", own)
	}
	s.refused(in("slow", atRate(30*day, 1)), lease.Paced)
	if again := use("idle"); again <= was {
		t.Errorf("token %d after %d", again, was)
	}
	s.release(held)
	s.release(first)
	s.release(s.get(waits))
	back := s.line(in("kept", func(r *lease.Request) { r.Key = "k" }))
	if back.Ticket().Seq != kept.Ticket().Seq {
		t.Errorf("place %d of a key, want %d", back.Ticket().Seq, kept.Ticket().Seq)
	}
	if err := aside.Return(s.ctx); err != nil {
		t.Fatal(err)
	}
	s.release(s.get(back))
	s.release(s.get(aside))
}

// remembers: a pool stays until it was not used for that long.
func remembers(t *testing.T, s *suite) {
	s, left := s.aging(time.Hour)
	if s == nil {
		return
	}
	s.unused(s.take(in("unused")))
	for range 3 {
		s.release(s.take(in("idle")))
		s.release(s.take(in("other")))
	}
	for _, pool := range []string{"unused", "idle"} {
		if len(left(pool)) == 0 {
			t.Errorf("pool %s is forgotten", pool)
		}
	}
}

// forgottenInUse: in pools that are forgotten all the time the limit still holds.
func forgottenInUse(t *testing.T, s *suite) {
	s, _ = s.aging(time.Microsecond)
	if s == nil {
		return
	}
	var inside, rounds atomic.Int32
	var last atomic.Uint64
	var all sync.WaitGroup
	one := func(h lease.Holding) {
		if n := inside.Add(1); n != 1 {
			t.Errorf("%d at once", n)
		}
		if token := h.Lease().Token; last.Swap(token) >= token {
			t.Errorf("token %d did not rise", token)
		}
		inside.Add(-1)
		if err := h.Release(s.ctx); err != nil {
			t.Error(err)
		}
	}
	for n := range 4 {
		all.Go(func() {
			for rounds.Add(1) <= 200 && s.ctx.Err() == nil {
				if n == 0 { // it joins the line of a pool that may go before it is there
					p, err := s.Line(s.ctx, in("p"))
					if err != nil {
						t.Error(err)
						return
					}
					h, err := Get(s.ctx, p)
					if err != nil {
						t.Error(err)
						return
					}
					one(h)
					continue
				}
				h, _, err := s.TryAcquire(s.ctx, in("p"))
				if err != nil {
					t.Error(err)
					return
				}
				if h != nil {
					one(h)
				}
			}
		})
	}
	all.Wait()
	empty(t, s, "p")
}
