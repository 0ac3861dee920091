package redisstore_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
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

// A server forgets a lease that is adopted, or only that it is. Its keeper and its adopter
// register again, in any order or one of them alone, before anybody else can adopt it.
func TestForgottenAdoption(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		again  string // who registers again, in this order
		forget func(*testing.T, *engine.Server, string)
	}{
		"KeeperFirst":        {"ka", forgetAll},
		"AdopterFirst":       {"ak", forgetAll},
		"AdopterAlone":       {"a", forgetAll},
		"OnlyTheAdoption":    {"ka", forgetAdoption},
		"UnreadableAdopter":  {"a", spoilAdoption},
		"UnreadableRecord":   {"a", spoilRecord},
		"BothAreUnreadable":  {"ak", func(t *testing.T, s *engine.Server, id string) { spoilRecord(t, s, id); spoilAdoption(t, s, id) }},
		"KeeperOfUnreadable": {"ka", func(t *testing.T, s *engine.Server, id string) { spoilRecord(t, s, id); spoilAdoption(t, s, id) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := known(t)
			timings := redisstore.Timings{Recover: time.Second}
			s, other := openAt(t, server.Addr, nil, timings), openAt(t, server.Addr, nil, timings)
			h := try(t, s, kept(1, lossTTL))
			id := h.Lease().ID
			a := adopt(t, s, h, 1)
			if err := a.Running(within(t), lease.Process{PID: 7, Start: 8}); err != nil {
				t.Fatal(err)
			}
			c.forget(t, server, id)
			short, cancel := context.WithTimeout(within(t), 200*time.Millisecond)
			defer cancel()
			if b, err := other.Adopt(short, id, runner(2)); b != nil {
				t.Fatalf("adopted by another, %v: the first may have been forgotten", err)
			}
			for _, who := range c.again {
				renew(t, map[rune]lease.Holding{'k': h, 'a': a}[who])
			}
			_, err := other.Adopt(within(t), id, runner(2))
			isAdopted(t, err, 1)
			isAdopted(t, h.Release(within(t)), 1)
			refused(t, other, job(1, time.Second), lease.Full)
			got := pool(t, other)
			if len(got.Holders) != 1 || got.Used != 1 || got.Holders[0].Lease.Token != h.Lease().Token || got.Holders[0].Lease.Child == nil {
				t.Errorf("%+v; want the lease there was, and its child", got)
			}
			if off := sumsOff(t, client(t, server), "p"); off != "" {
				t.Error(off)
			}
			release(t, a)
			release(t, h)
			empty(t, other)
		})
	}
}

func forgetAll(t *testing.T, s *engine.Server, _ string) { command(t, s, "FLUSHALL") }

// forgetAdoption makes a server that has lost the last of what it was told.
func forgetAdoption(t *testing.T, s *engine.Server, id string) {
	command(t, s, "HDEL", "{berth}:data:p", "a:"+id, "c:"+id)
	now := text(time.Now().UnixMicro())
	command(t, s, "HSET", "{berth}:epoch", "name", now, "at", now)
}

func spoilAdoption(t *testing.T, s *engine.Server, id string) {
	command(t, s, "HSET", "{berth}:data:p", "a:"+id, "v2 {}")
}

func spoilRecord(t *testing.T, s *engine.Server, id string) {
	command(t, s, "HSET", "{berth}:held:p", id, "v2 {}")
}

// An adopter that was forgotten for so long that another has adopted the lease is lost, and does
// not disturb it.
func TestAdopterForgottenForLong(t *testing.T) {
	t.Parallel()
	server := known(t)
	s := openAt(t, server.Addr, nil, redisstore.Timings{})
	h := try(t, s, kept(1, shortTTL))
	away := adopt(t, s, h, 1)
	if _, err := away.Renew(within(t), time.Hour); err != nil { // as a job that is suspended does
		t.Fatal(err)
	}
	forgetAdoption(t, server, h.Lease().ID)
	var b lease.Holding
	eventually(t, "another can adopt it", func() bool {
		renew(t, h)
		ctx, cancel := context.WithTimeout(within(t), 20*time.Millisecond)
		defer cancel()
		b, _ = s.Adopt(ctx, h.Lease().ID, runner(2))
		return b != nil
	})
	if _, err := away.Renew(within(t), 0); !errors.Is(err, lease.ErrLost) {
		t.Errorf("Renew: %v; want ErrLost", err)
	}
	release(t, away)
	renew(t, b)
	isAdopted(t, h.Release(within(t)), 2)
	release(t, b)
	release(t, h)
}

// While a server forgets all or nothing, a lease that is adopted stays what it is, and nobody
// else gets its slot or adopts it.
func TestStateLostWhileAdopted(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"NoPersistence": nil,
		"Always":        {"--appendonly", "yes", "--appendfsync", "always"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := known(t, args...)
			at := func() lease.Store { return openAt(t, server.Addr, nil, redisstore.Timings{Call: time.Second}) }
			survivesAdopted(t, at, func() { server.Kill(); server.Start() })
		})
	}
	t.Run("Promoted", func(t *testing.T) {
		t.Parallel()
		s := replicate(t)
		fresh(t, s.master)
		survivesAdopted(t, s.store, func() {
			s.inStep()
			s.fail()
		})
	})
	t.Run("PromotedWithoutTheAdoption", func(t *testing.T) {
		t.Parallel()
		s := replicate(t)
		fresh(t, s.master)
		h := try(t, s.store(), kept(1, lossTTL))
		old := adopt(t, s.store(), h, 1)
		s.inStep()
		s.link.TurnTo("")
		release(t, old) // the replica still has this one
		adoptedSurvives(t, s.store, h, s.fail)
	})
}

func survivesAdopted(t *testing.T, at func() lease.Store, fail func()) {
	t.Helper()
	adoptedSurvives(t, at, try(t, at(), kept(1, lossTTL)), fail)
}

// adoptedSurvives checks that an adopted lease stays what it is while its store fails.
func adoptedSurvives(t *testing.T, at func() lease.Store, h lease.Holding, fail func()) {
	t.Helper()
	id, r := h.Lease().ID, record(t, 1)
	keeper := r.keep(h, lossTTL)
	a := adopt(t, at(), h, 2)
	adopter := record(t, 1).keep(a, lossTTL)
	stop := r.push(at(), func() lease.Request { return job(1, lossTTL) })
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	tried := make(chan struct{})
	go func() {
		defer close(tried)
		for s := at(); ctx.Err() == nil; time.Sleep(between) {
			if b, _ := s.Adopt(ctx, id, runner(3)); b != nil {
				t.Error("another process has adopted it, too")
			}
		}
	}()
	fail()
	look := at()
	eventually(t, "both have registered again", func() bool {
		pools, err := look.List(within(t), "p")
		return err == nil && len(pools[0].Holders) == 1 && pools[0].Holders[0].Lease.Adopter != nil && *pools[0].Holders[0].Lease.Adopter == runner(2)
	})
	eventually(t, "the hold-off is over", func() bool { return pool(t, look).RecoveringFor == 0 })
	cancel()
	<-tried
	isAdopted(t, h.Release(within(t)), 2)
	adopter()
	stop()
	keeper()
	empty(t, look)
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

// A waiter that is granted its slots without its knowledge has the names that these had then.
func TestNamesOfAnUnseenGrant(t *testing.T) {
	t.Parallel()
	server := known(t)
	s := open(t, server, "")
	name := func(names ...string) {
		t.Helper()
		if err := s.Set(within(t), "p", func(own lease.Settings, err error) (lease.Settings, error) {
			n := len(names)
			own.Limit, own.Names = &n, names
			return own, err
		}); err != nil {
			t.Fatal(err)
		}
	}
	name("cuda0")
	h := try(t, s, job(1, longTTL))
	p := line(t, s, job(1, longTTL))
	release(t, h)
	name("gpu0")
	h = get(t, p)
	want := []string{"cuda0"}
	if got := h.Lease().SlotNames; !slices.Equal(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
	command(t, server, "FLUSHALL")
	renew(t, h)
	if got := pool(t, s).Holders[0].Lease.SlotNames; !slices.Equal(got, want) {
		t.Errorf("after the server forgot them: names %q, want %q", got, want)
	}
	release(t, h)
}

// A lease that has ended leaves nothing of itself beside another one.
func TestEndedLeaseLeavesNothing(t *testing.T) {
	t.Parallel()
	server := known(t)
	s := open(t, server, "")
	if err := s.Set(within(t), "p", func(own lease.Settings, err error) (lease.Settings, error) {
		two := 2
		own.Limit, own.Names = &two, []string{"x", "y"}
		return own, err
	}); err != nil {
		t.Fatal(err)
	}
	stays := try(t, s, job(0, longTTL))
	before := command(t, server, "HLEN", "{berth}:data:p")
	h := try(t, s, kept(0, longTTL))
	for _, m := range []lease.Message{{Kind: lease.MessageKeepalive, Note: "half"}, {Kind: lease.MessageStop}, {Kind: lease.MessageRelease}} {
		if _, err := s.Tell(within(t), h.Lease().ID, m); err != nil {
			t.Fatal(err)
		}
	}
	a := adopt(t, s, h, 1)
	if err := a.Running(within(t), lease.Process{PID: 7}); err != nil {
		t.Fatal(err)
	}
	renew(t, a)
	command(t, server, "HSET", "{berth}:held:p", h.Lease().ID, "1 1 1 1 0 1 2 1 1") // long dead
	command(t, server, "ZADD", "{berth}:due:p", 1, h.Lease().ID)
	renew(t, stays)
	release(t, try(t, s, job(0, longTTL)))
	if got := command(t, server, "HLEN", "{berth}:data:p"); got != before {
		t.Errorf("%v; want %v fields, those of the other", command(t, server, "HGETALL", "{berth}:data:p"), before)
	}
	release(t, stays)
}

// Steps of an older berth drop a lease, and leave what they do not know. It goes with the last
// lease of the pool.
func TestOlderBerthDropsAnAdoptedLease(t *testing.T) {
	t.Parallel()
	server := known(t)
	s := open(t, server, "")
	h := try(t, s, kept(2, longTTL))
	id := h.Lease().ID
	a := adopt(t, s, h, 1)
	if _, err := s.Tell(within(t), id, lease.Message{Kind: lease.MessageKeepalive, Note: "half"}); err != nil {
		t.Fatal(err)
	}
	command(t, server, "HDEL", "{berth}:held:p", id)
	command(t, server, "ZREM", "{berth}:due:p", id)
	command(t, server, "HDEL", "{berth}:data:p", id, "c:"+id, "s:"+id, "k:"+id, "b:"+id, "o:"+id)
	for _, lost := range []lease.Holding{a, h} {
		if _, err := lost.Renew(within(t), 0); !errors.Is(err, lease.ErrLost) {
			t.Errorf("Renew: %v, want ErrLost", err)
		}
	}
	command(t, server, "DEL", "{berth}:slots:p")
	command(t, server, "HSET", "{berth}:pool:p", "sum", "0")
	release(t, try(t, s, job(2, longTTL)))
	if got := command(t, server, "EXISTS", "{berth}:data:p"); got != int64(0) {
		t.Errorf("%v; want nothing left", command(t, server, "HGETALL", "{berth}:data:p"))
	}
}

// On a server that may have forgotten a lease, it is waited for: nobody says a second time that it
// is to be given back.
func TestReleaseIsToldToAForgottenLease(t *testing.T) {
	t.Parallel()
	server := known(t)
	s := openAt(t, server.Addr, nil, redisstore.Timings{Recover: lossTTL})
	h := try(t, s, kept(1, longTTL))
	command(t, server, "FLUSHALL")
	told := make(chan error, 1)
	go func() {
		_, err := s.Tell(within(t), h.Lease().ID, lease.Message{Kind: lease.MessageRelease})
		told <- err
	}()
	eventually(t, "it was asked for in vain", func() bool { return requests(t, server) > 5 })
	renew(t, h)
	if err := <-told; err != nil {
		t.Error(err)
	}
	if in := renew(t, h); !in.Release {
		t.Errorf("%+v; want it told to release", in)
	}
	release(t, h)
	if _, err := s.Tell(within(t), h.Lease().ID, lease.Message{Kind: lease.MessageStop}); !errors.Is(err, lease.ErrNotFound) || strings.Contains(err.Error(), "refuses") {
		t.Errorf("%v, want ErrNotFound at once", err)
	}
}
