package redisstore_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/redisstore"
	"berth/lease/storetest/engine"
)

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

// A keeper gives its lease back to a server that has forgotten the adoption, with the lease or
// without it: the adopter has its slot again before anybody else can have it.
func TestKeeperOfAForgottenAdoptionGivesBack(t *testing.T) {
	t.Parallel()
	for _, forget := range []func(*testing.T, *engine.Server, string){forgetAll, forgetAdoption} {
		server := known(t)
		s := openAt(t, server.Addr, nil, redisstore.Timings{Recover: time.Second})
		h := try(t, s, kept(1, shortTTL))
		a := adopt(t, s, h, 1)
		waiter := line(t, s, job(1, lossTTL))
		forget(t, server, h.Lease().ID)
		release(t, h)
		if _, v, err := waiter.TryAcquire(within(t), lease.Clearance{}); err != nil || v.Reason != lease.Recovering {
			t.Errorf("%v, %v; want it to wait for those that were forgotten", v, err)
		}
		renew(t, a)
		eventually(t, "the hold-off is over", func() bool { renew(t, a); return pool(t, s).RecoveringFor == 0 })
		if _, v, err := waiter.TryAcquire(within(t), lease.Clearance{}); err != nil || v.Reason != lease.Full {
			t.Errorf("%v, %v; want full", v, err)
		}
		release(t, a)
		release(t, get(t, waiter)) // nobody keeps it
		empty(t, s)
	}
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
