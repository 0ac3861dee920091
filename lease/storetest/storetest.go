// Package storetest is the conformance suite that every lease.Store passes.
// To hook one in: storetest.Run(t, storetest.Shape{Open: …}).
package storetest

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"berth/lease"
)

// Deadline ends a wait that hangs.
const Deadline = 20 * time.Second

// Shape says how to open a store, and what it cannot do by its nature.
type Shape struct {
	// Open makes an empty store. Another opens the same one once more, as a second
	// client; nil: the first one is all there is.
	Open    func(*testing.T) lease.Store
	Another func(*testing.T, lease.Store) lease.Store
	// TTL is a short one that the store keeps to; or NoTTL says why its leases do
	// not end by a clock.
	TTL   time.Duration
	NoTTL string
	// Grants: a release grants the freed slots to the head of the line, which has them
	// before its next TryAcquire. In other stores that call takes them, and until then
	// they are free. A newcomer with a higher priority is refused in the one case and
	// goes first in the other. Both keep the order, because the head is served at the
	// release in the one case and at its own call in the other.
	Grants bool
	// NoLostReply says why a step cannot have happened when the caller saw an error.
	NoLostReply string
	// Forgets makes an empty store that forgets a pool which was not used for that long,
	// and checks for such pools at each release. left is what is left of a pool: keys,
	// files. Or NoForget says why there is nothing to forget.
	Forgets  func(t *testing.T, age time.Duration) (s lease.Store, left func(pool string) []string)
	NoForget string
}

// Run runs the suite on fresh stores.
func Run(t *testing.T, shape Shape) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *suite)
	}{
		{"NeverOverTheLimit", neverOver},
		{"Newcomers", newcomers},
		{"DrainsAtOnce", drainsAtOnce},
		{"LowestSlotFirst", lowestFirst},
		{"Order", order},
		{"Priority", priority},
		{"HeavyIsNotPassed", heavy},
		{"TooHeavy", tooHeavy},
		{"SmallestLimitWins", smallest},
		{"OwnLimit", ownLimit},
		{"DrainAndWake", drain},
		{"SetIsAllOrNothing", set},
		{"GatesAreAskedByTheHead", gated},
		{"NewGatesAreAsked", newGates},
		{"StaleAnswer", staleAnswer},
		{"Paced", paced},
		{"PacedTogether", pacedTogether},
		{"Burst", burst},
		{"UnusedDoesNotCount", unused},
		{"UnusedOfABurst", unusedOfABurst},
		{"UnusedWakes", unusedWakes},
		{"UnseenDoesNotCount", unseen},
		{"UnusedAndLost", unusedAndLost},
		{"NeedOfThePool", need},
		{"Report", report},
		{"NewcomerDoesNotOvertake", newcomer},
		{"WaitBeforeTheFirstTry", waitsFirst},
		{"KeyKeepsThePlace", key},
		{"KeyOfAStoppedWaiter", keyOfStopped},
		{"Aside", aside},
		{"Stop", stop},
		{"Keepalive", keepalive},
		{"LastMessageCounts", told},
		{"StopOfAKeptPlace", stopOfKept},
		{"TokensRise", tokens},
		{"ReleaseTwice", releaseTwice},
		{"CancelledWaitLeavesNothing", cancelled},
		{"Adopt", adopting},
		{"AdoptAllSlots", adoptingAll},
		{"SecondAdopter", secondAdopter},
		{"NotAdoptable", notAdoptable},
		{"ReleaseWhileAdopted", releaseWhileAdopted},
		{"KeeperIsTold", keeperIsTold},
		{"BothAreTold", bothAreTold},
		{"AdopterReleasesTwice", adopterReleasesTwice},
		{"RacingAdopters", racingAdopters},
		{"ReleaseAgainstAdopt", racingRelease},
		{"AdoptionExpires", adoptionExpires},
		{"AdoptionExpiredAndOver", adoptionExpiredAndOver},
		{"AdopterKeepsTheLease", adopterKeeps},
		{"ReleaseOfAWaiter", releaseOfAWaiter},
		{"Supersede", supersede},
		{"SupersedeAtTheGrant", supersedeAtTheGrant},
		{"SupersedeOfAKeptPlace", supersedeOfKept},
		{"KeepaliveNote", keepaliveNote},
		{"SlotNames", slotNames},
		{"Watch", watching},
		{"WatchOfAKeptLease", watchingKept},
		{"WatchOfABadPool", badWatch},
		{"Unknown", unknown},
		{"BadPool", badPool},
		{"List", list},
		{"Repeated", repeated},
		{"Expires", expires},
		{"RenewedLeaseDoesNotExpire", renewed},
		{"DeadWaiterIsPassed", deadWaiter},
		{"Forgets", forgets},
		{"Remembers", remembers},
		{"ForgottenInUse", forgottenInUse},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), Deadline)
			defer cancel()
			first := shape.Open(t)
			second := first
			if shape.Another != nil {
				second = shape.Another(t, first)
			}
			c.test(t, &suite{t, ctx, first, second, shape})
		})
	}
}

type suite struct {
	*testing.T
	ctx context.Context
	lease.Store
	another lease.Store // of another client
	shape   Shape
}

// Request is a request of this process for one slot of a pool with limit n. Its
// lease outlives the test.
func Request(pool string, n int) lease.Request {
	return lease.Request{
		ID: lease.NewID(pool), Pool: pool, Limit: n, Fallback: 2, Weight: 1, Grace: time.Minute, TTL: time.Minute,
		Owner: lease.Process{PID: os.Getpid(), Start: 1},
	}
}

func with(r lease.Request, change func(*lease.Request)) lease.Request {
	change(&r)
	return r
}

func (s *suite) setLimit(pool string, limit *int) error {
	return s.Set(s.ctx, pool, func(old lease.Settings, err error) (lease.Settings, error) {
		old.Limit = limit
		return old, err
	})
}

func (s *suite) setConditions(pool string, t lease.Conditions) {
	s.Helper()
	if err := s.Set(s.ctx, pool, func(old lease.Settings, err error) (lease.Settings, error) {
		old.Conditions = t
		return old, err
	}); err != nil {
		s.Fatal(err)
	}
}

func (s *suite) take(r lease.Request) lease.Holding {
	s.Helper()
	h, v, err := s.TryAcquire(s.ctx, r)
	if err != nil || h == nil {
		s.Fatalf("TryAcquire(%+v): %v, %v; want a lease", r, v, err)
	}
	return h
}

func (s *suite) refused(r lease.Request, why lease.Reason) lease.Verdict {
	s.Helper()
	h, v, err := s.TryAcquire(s.ctx, r)
	if err != nil || h != nil || v.Reason != why {
		s.Fatalf("TryAcquire(%+v): %v, %+v, %v; want %s", r, h, v, err, why)
	}
	return v
}

func (s *suite) line(r lease.Request) lease.Place {
	s.Helper()
	p, err := s.Line(s.ctx, r)
	if err != nil {
		s.Fatal(err)
	}
	return p
}

func (s *suite) release(h lease.Holding) {
	s.Helper()
	if err := h.Release(s.ctx); err != nil {
		s.Fatal(err)
	}
}

// notYet asks a place once, and wants that reason.
func (s *suite) notYet(p lease.Place, why lease.Reason) {
	s.Helper()
	h, v, err := p.TryAcquire(s.ctx, lease.Clearance{})
	if err != nil || h != nil || v.Reason != why {
		s.Fatalf("Place.TryAcquire: %v, %+v, %v; want %s", h, v, err, why)
	}
}

// Get waits until the place has its slots. Its gates, if it has any, are never asked.
func Get(ctx context.Context, p lease.Place) (lease.Holding, error) {
	for {
		h, _, err := p.TryAcquire(ctx, lease.Clearance{})
		if h != nil || err != nil {
			return h, err
		}
		if err := p.Wait(ctx); err != nil {
			return nil, err
		}
	}
}

func (s *suite) get(p lease.Place) lease.Holding {
	s.Helper()
	h, err := Get(s.ctx, p)
	if err != nil {
		s.Fatal(err)
	}
	return h
}

func neverOver(t *testing.T, s *suite) {
	const callers, rounds, limit = 16, 8, 3
	var mu sync.Mutex
	in, most := map[int]bool{}, 0
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range rounds {
				p, err := s.Line(s.ctx, Request("p", limit))
				if err != nil {
					t.Error(err)
					return
				}
				h, err := Get(s.ctx, p)
				if err != nil {
					t.Error(err)
					return
				}
				slot := h.Lease().Slots[0]
				mu.Lock()
				if in[slot] {
					t.Errorf("slot %d is held twice", slot)
				}
				in[slot] = true
				most = max(most, len(in))
				mu.Unlock()
				time.Sleep(100 * time.Microsecond) // let others try; decides nothing
				mu.Lock()
				delete(in, slot)
				mu.Unlock()
				if err := h.Release(s.ctx); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if most > limit {
		t.Errorf("%d at once, limit %d", most, limit)
	}
	empty(t, s, "p")
}

// empty checks that a pool has neither holders nor waiters.
func empty(t *testing.T, s *suite, pool string) {
	t.Helper()
	pools, err := s.List(s.ctx, pool)
	if err != nil || len(pools) != 1 || len(pools[0].Holders) > 0 || len(pools[0].Waiters) > 0 || pools[0].Used != 0 {
		t.Errorf("pool %s: %+v, %v; want it empty", pool, pools, err)
	}
}

func smallest(t *testing.T, s *suite) {
	a := s.take(Request("p", 5))
	b := s.take(Request("p", 2))
	s.refused(Request("p", 5), lease.Full)
	s.release(a)
	c := s.take(Request("p", 5))
	if v := s.refused(Request("p", 5), lease.Full); v.Limit != 2 || v.Used != 2 {
		t.Errorf("verdict %+v, want 2 of 2", v)
	}
	s.release(b) // no limit outlives its holder
	d, e := s.take(Request("p", 5)), s.take(Request("p", 5))
	s.refused(Request("p", 2), lease.Full)
	for _, h := range []lease.Holding{c, d, e} {
		s.release(h)
	}
}

func ownLimit(t *testing.T, s *suite) {
	own := 1
	if err := s.setLimit("p", &own); err != nil {
		t.Fatal(err)
	}
	h := s.take(Request("p", 5))
	if l := h.Lease(); l.InForce != 1 {
		t.Errorf("limit in force %d, want 1", l.InForce)
	}
	s.refused(Request("p", 5), lease.Full)
	s.refused(Request("p", 0), lease.Full)
	if err := s.setLimit("p", nil); err != nil {
		t.Fatal(err)
	}
	s.release(s.take(Request("p", 5)))
	s.release(h)
}

func drain(t *testing.T, s *suite) {
	zero, one := 0, 1
	if err := s.setLimit("p", &zero); err != nil {
		t.Fatal(err)
	}
	s.refused(Request("p", 5), lease.Drained)
	p := s.line(Request("p", 5))
	got := make(chan error, 1)
	go func() {
		h, err := Get(s.ctx, p)
		if err == nil {
			err = h.Release(s.ctx)
		}
		got <- err
	}()
	if err := s.setLimit("p", &one); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Errorf("a new limit did not wake the waiter: %v", err)
	}
}
