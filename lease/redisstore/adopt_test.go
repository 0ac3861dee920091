package redisstore_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/redisstore"
	"berth/lease/storetest/engine"
)

// kept is a request of a keeper for one slot of pool p, which has n of them.
func kept(n int, ttl time.Duration) lease.Request {
	r := job(n, ttl)
	r.Kept = true
	return r
}

// runner is the nth process that runs something under a lease.
func runner(nth int) lease.Process {
	return lease.Process{PID: os.Getpid(), Start: uint64(nth), Host: "h"}
}

func adopt(t testing.TB, s lease.Store, of lease.Holding, nth int) lease.Holding {
	t.Helper()
	a, err := s.Adopt(within(t), of.Lease().ID, runner(nth))
	if err != nil {
		t.Fatalf("Adopt: %v", err)
	}
	return a
}

// isAdopted wants err to say that the nth runner has adopted a lease.
func isAdopted(t testing.TB, err error, nth int) {
	t.Helper()
	var by *lease.AdoptedError
	if !errors.As(err, &by) || by.Adopter != runner(nth) {
		t.Errorf("%v; want an AdoptedError that names %+v", err, runner(nth))
	}
}

func renew(t testing.TB, h lease.Holding) lease.Inbox {
	t.Helper()
	in, err := h.Renew(within(t), 0)
	if err != nil {
		t.Errorf("Renew: %v", err)
	}
	return in
}

// The answer to a step of an adopter is lost: what it has after that is what it would have had,
// or nothing.
func TestAnswerToAnAdopterIsLost(t *testing.T) {
	t.Parallel()
	server := known(t)
	direct := open(t, server, "")
	for _, f := range []engine.Fate{engine.Cut, engine.Swallow} {
		p := engine.NewProxy(t, server.Addr)
		s := openAt(t, p.Addr, nil, redisstore.Timings{Call: 500 * time.Millisecond})
		h := try(t, direct, kept(1, longTTL))
		release(t, adopt(t, s, h, 1)) // a connection is there
		lose := func(what string, step func()) {
			t.Helper()
			happened := p.Once(f)
			step()
			if !happened() {
				t.Fatalf("%s: no answer was lost", what)
			}
		}
		var a lease.Holding
		lose("Adopt", func() { a = adopt(t, s, h, 1) })
		isAdopted(t, h.Release(within(t)), 1)
		lose("Running", func() { _ = a.Running(within(t), lease.Process{PID: 7, Start: 8}) })
		lose("Renew", func() {
			was := a.Expires()
			if _, err := a.Renew(within(t), 0); err == nil || errors.Is(err, lease.ErrLost) || a.Expires() != was {
				t.Errorf("Renew: %v; want an error that loses nothing", err)
			}
		})
		renew(t, a)
		if l := pool(t, direct).Holders[0].Lease; l.Adopter == nil || l.Child == nil || l.Child.PID != 7 {
			t.Errorf("%+v; want it adopted, and its child", l)
		}
		lose("Release", func() { release(t, a) })
		if in := renew(t, h); in.Adopter != nil {
			t.Errorf("%+v; want no adopter", in)
		}
		release(t, h)
		empty(t, direct)
	}
}

// The network delivers an Adopt after its caller has left. It adopts nothing.
func TestLateAdopt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		gone engine.Fate
		call time.Duration
		end  func(ctx context.Context) (context.Context, context.CancelFunc)
	}{
		{engine.Cut, deadline, context.WithCancel},
		{engine.Swallow, 200 * time.Millisecond, context.WithCancel},
		{engine.Swallow, 200 * time.Millisecond, func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 300*time.Millisecond)
		}},
	} {
		server := known(t)
		p, direct := engine.NewProxy(t, server.Addr), open(t, server, "")
		s := openAt(t, p.Addr, nil, redisstore.Timings{Call: c.call, Undo: deadline})
		h := try(t, direct, kept(1, longTTL))
		release(t, adopt(t, s, h, 1))
		ctx, cancel := c.end(t.Context())
		p.HoldBack("evalsha", c.gone)
		time.AfterFunc(400*time.Millisecond, func() { p.LetThrough(); cancel() }) // what undoes it gets through
		if a, err := s.Adopt(ctx, h.Lease().ID, runner(2)); a != nil || err == nil {
			t.Fatalf("%v, %v; want no answer", a, err)
		}
		p.KeepFirst() // what undoes it is lost, if it was held back as well
		p.Deliver(t, quit)
		if in := renew(t, h); in.Adopter != nil {
			t.Errorf("%+v; want no adopter", in)
		}
		release(t, h)
		empty(t, direct)
	}
}

// A server without memory keeps an adoption, and can end it and begin another: the slot is taken
// already.
func TestNoMemoryForAdoptions(t *testing.T) {
	t.Parallel()
	server := known(t)
	s := open(t, server, "")
	h := try(t, s, kept(2, longTTL))
	a := adopt(t, s, h, 1)
	command(t, server, "CONFIG", "SET", "maxmemory", "1")
	for nth := range 2 {
		renew(t, a)
		renew(t, h)
		isAdopted(t, h.Release(within(t)), 1+nth)
		release(t, a)
		a = adopt(t, s, h, 2+nth)
	}
	release(t, a)
	release(t, h)
	empty(t, s)
}

// The clock of the server is set forward: an adopter that is not heard of any more lapses only a
// TTL later.
func TestClockIsSetWhileAdopted(t *testing.T) {
	t.Parallel()
	server, set := stepped(t)
	s := open(t, server, "")
	h := try(t, s, kept(1, lossTTL))
	keeper := record(t, 1).keep(h, lossTTL)
	a := adopt(t, s, h, 1)
	adopter := record(t, 1).keep(a, lossTTL)
	for _, at := range steps {
		set(at)
		_, err := s.Adopt(within(t), h.Lease().ID, runner(2))
		isAdopted(t, err, 1)
		isAdopted(t, h.Release(within(t)), 1)
		was := a.Expires()
		eventually(t, "it is renewed", func() bool { return a.Expires() > was })
	}
	adopter()
	keeper()
	empty(t, s)
}

// A keeper that steps aside, or leaves, before it knows of its slot does not take it from a
// process that has adopted the lease.
func TestAdoptedBeforeItsKeeperKnows(t *testing.T) {
	t.Parallel()
	server := known(t)
	s := open(t, server, "")
	h := try(t, s, job(1, longTTL))
	p := line(t, s, kept(1, shortTTL))
	release(t, h)
	id := p.Ticket().ID
	a, err := s.Adopt(within(t), id, runner(1))
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []func(context.Context) error{p.StepAside, p.Return, p.Leave} {
		if err := step(within(t)); err != nil {
			t.Error(err)
		}
		renew(t, a)
		refused(t, s, job(1, longTTL), lease.Full)
	}
	release(t, a)
	release(t, get(t, line(t, s, job(1, longTTL)))) // nobody keeps it
	empty(t, s)
}
