package redisstore_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/redisstore"
	"berth/lease/storetest"
	"berth/lease/storetest/engine"
)

// longTTL outlives a test: a slot that leaks is seen at its end.
const longTTL = time.Minute

// The server does each step and its answer is lost, once: what the caller has after that
// is what it would have had, or nothing.
func TestAnswerIsLost(t *testing.T) {
	t.Parallel()
	server := known(t)
	look := open(t, server, "")
	for _, f := range []engine.Fate{engine.Cut, engine.Swallow} {
		p := engine.NewProxy(t, server.Addr)
		s := openAt(t, p.Addr, nil, redisstore.Timings{Call: 500 * time.Millisecond, Aside: deadline})
		req := func() lease.Request { return job(1, longTTL) }
		release(t, try(t, s, req())) // the script is known, and a connection is there
		lose := func(what string, step func()) {
			t.Helper()
			happened := p.Once(f)
			step()
			if !happened() {
				t.Fatalf("%s: no answer was lost", what)
			}
		}
		lose("TryAcquire", func() {
			var out *lease.UnreachableError
			if h, _, err := s.TryAcquire(within(t), req()); h != nil || !errors.As(err, &out) {
				t.Errorf("TryAcquire: %v, %v; want an UnreachableError", h, err)
			}
		})
		empty(t, look)
		h := try(t, s, req())
		var place lease.Place
		lose("Line", func() { place = line(t, s, req()) })
		var v lease.Verdict
		var err error
		lose("turn", func() { _, v, err = place.TryAcquire(within(t), lease.Clearance{}) })
		if err != nil || v.Reason != lease.Full {
			t.Errorf("%+v, %v; want full", v, err)
		}
		lose("Renew", func() {
			was := h.Expires()
			if _, err := h.Renew(within(t), 0); err == nil || errors.Is(err, lease.ErrLost) || h.Expires() != was {
				t.Errorf("Renew: %v; want an error that loses nothing", err)
			}
		})
		if _, err := h.Renew(within(t), 0); err != nil {
			t.Error(err)
		}
		lose("Release", func() { release(t, h) })
		lose("turn that takes", func() { h = get(t, place) })
		if got := pool(t, look); got.Used != 1 || !holds(got, h) {
			t.Errorf("%+v; want %+v in it", got, h.Lease())
		}
		gone := line(t, s, req())
		lose("StepAside", func() {
			if err := gone.StepAside(within(t)); err != nil {
				t.Error(err)
			}
		})
		lose("Leave", func() {
			if err := gone.Leave(within(t)); err != nil {
				t.Error(err)
			}
		})
		release(t, h)
		empty(t, look)
	}
}

// When an answer was lost, and what undoes the step as well, the grant counts from the
// second time that it is requested.
func TestGrantIsAskedForAgain(t *testing.T) {
	t.Parallel()
	server := known(t)
	s, want := open(t, server, ""), job(1, time.Second)
	r, q := record(t, 1), &queue{}
	try(t, s, want)
	q.wait(r, s, job(1, longTTL))
	eventually(t, "the holder is missed", func() bool {
		p := pool(t, s)
		return p.Used == 0 || p.Holders[0].Lease.State == lease.Stalled
	})
	time.Sleep(want.TTL / 5) // decides nothing: the later, the more it would matter
	r.enter(try(t, s, want))
	q.served(r)
}

// Connections are cut after the server has done a step, again and again.
func TestAnswersAreLost(t *testing.T) {
	t.Parallel()
	server := known(t)
	const limit, callers, rounds = 2, 5, 6
	r, look := record(t, limit), open(t, server, "")
	p := engine.NewProxy(t, server.Addr)
	p.Late(time.Millisecond)
	seed := rand.Uint64()
	dice := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	p.Replies(func() engine.Fate { // the proxy asks one at a time
		if dice.IntN(5) == 0 {
			return engine.Cut
		}
		return engine.Pass
	})
	var all sync.WaitGroup
	for range callers {
		s := openAt(t, p.Addr, nil, redisstore.Timings{Release: deadline})
		all.Go(func() {
			for range rounds {
				place, err := s.Line(within(t), job(limit, longTTL))
				if err != nil {
					t.Error(err)
					return
				}
				h, err := storetest.Get(within(t), place)
				if err != nil {
					t.Error(err)
					return
				}
				r.keep(h, longTTL)()
			}
		})
	}
	all.Wait()
	empty(t, look)
}

// The connections of a waiter are dead without a sign: that of its listener and those of
// its steps.
func TestHalfOpen(t *testing.T) {
	t.Parallel()
	server := known(t)
	const ttl = lossTTL
	r, direct := record(t, 1), open(t, server, "")
	p := engine.NewProxy(t, server.Addr)
	s := openAt(t, p.Addr, nil, redisstore.Timings{Call: 500 * time.Millisecond})
	h := try(t, direct, job(1, ttl))
	held := r.keep(h, ttl)
	q := &queue{}
	q.wait(r, s, job(1, ttl))
	q.wait(r, s, job(1, ttl))
	listening(t, server, 2)
	p.Deafen()
	held()
	q.served(r)
	empty(t, direct)
}

// A holder whose connections are dead makes new ones, and keeps its lease.
func TestHalfOpenHolder(t *testing.T) {
	t.Parallel()
	server := known(t)
	p := engine.NewProxy(t, server.Addr)
	s := openAt(t, p.Addr, nil, redisstore.Timings{Call: 500 * time.Millisecond})
	r := record(t, 1)
	h := try(t, s, job(1, lossTTL))
	end := r.keep(h, lossTTL)
	for range 3 {
		p.Deafen()
		was := h.Expires()
		eventually(t, "it is renewed", func() bool { return h.Expires() > was })
	}
	p.Deafen()
	end()
	empty(t, open(t, server, ""))
}

// In an outage a release, StepAside and Leave end after their own time, and say what they
// leave behind.
func TestGivesUp(t *testing.T) {
	t.Parallel()
	server := known(t)
	short := 50 * time.Millisecond
	s := openAt(t, server.Addr, nil, redisstore.Timings{Release: short, Aside: short})
	h, p := try(t, s, job(1, longTTL)), line(t, s, job(1, longTTL))
	server.Freeze()
	for want, step := range map[string]func(context.Context) error{
		"cannot give back slot 0 of pool p, which is free again when its lease has ended: cannot reach store": h.Release,
		"cannot reach store":                      p.StepAside,
		"cannot leave the line of pool p: cannot": p.Leave,
	} {
		ctx := within(t)
		err := step(ctx)
		if ctx.Err() != nil {
			t.Errorf("%s: it went on until its caller's time was over", want)
		}
		if !errors.As(err, new(*lease.UnreachableError)) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want an UnreachableError that says %q", err, want)
		}
	}
}
