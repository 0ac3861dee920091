package etcdstore

import (
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"berth/lease"
	"berth/lease/clock"
	"berth/lease/storetest/engine"
)

func keptRequest(ttl time.Duration) lease.Request {
	r := request(1, ttl)
	r.Kept = true
	return r
}

var (
	someone = lease.Process{PID: os.Getpid(), Start: 1001}
	another = lease.Process{PID: os.Getpid(), Start: 1002}
	child   = lease.Process{PID: os.Getpid(), Start: 7}
)

func mustAdopt(t *testing.T, s *Store, h lease.Holding, by lease.Process) *adoption {
	t.Helper()
	a, err := s.Adopt(soon(t), h.Lease().ID, by)
	if err != nil {
		t.Fatal(err)
	}
	return a.(*adoption)
}

func mustRenew(t *testing.T, h lease.Holding, ttl time.Duration) lease.Inbox {
	t.Helper()
	in, err := h.Renew(soon(t), ttl)
	if err != nil {
		t.Fatalf("Renew: %v", err)
	}
	return in
}

// isHeld wants the one holder of the pool in that state.
func isHeld(t *testing.T, s *Store, want lease.State) {
	t.Helper()
	pools, err := s.List(soon(t), "p")
	if err != nil || len(pools[0].Holders) != 1 || pools[0].Holders[0].Lease.State != want {
		t.Fatalf("List: %+v, %v; want one holder that is %s", pools, err, want)
	}
}

// ttlOf is the TTL of the etcd lease that a key is attached to.
func ttlOf(t *testing.T, s *Store, key string) time.Duration {
	t.Helper()
	resp, err := s.client.Get(soon(t), key)
	if err != nil || len(resp.Kvs) != 1 {
		t.Fatalf("%s: %v, %v", key, resp, err)
	}
	left, err := s.client.TimeToLive(soon(t), clientv3.LeaseID(resp.Kvs[0].Lease))
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(left.GrantedTTL) * time.Second
}

// TestAdoptLostReply: each step of an adoption is done once, though its answer was lost.
func TestAdoptLostReply(t *testing.T) {
	t.Parallel()
	server := engine.Etcd(t)
	s, keeper := open(t, "", server), open(t, "", server)
	var lose atomic.Bool
	s.kv = &hooked{s.kv, func() {}, func() error {
		if lose.CompareAndSwap(true, false) {
			return status.Error(codes.Unavailable, "the answer is lost")
		}
		return nil
	}}
	s.answered.Store(true)
	lost := func(what string) {
		t.Helper()
		if lose.Swap(true) {
			t.Fatalf("%s: no answer was lost before it", what)
		}
	}
	h := mustTry(t, keeper, keptRequest(time.Minute))
	mustAdopt(t, s, h, someone) // its caller does not hear of it
	a := mustAdopt(t, s, h, someone)
	mustRelease(t, a)
	lost("Adopt")
	a = mustAdopt(t, s, h, someone)
	lost("Running")
	if err := a.Running(soon(t), child); err != nil {
		t.Fatal(err)
	}
	mustRenew(t, a, 0)
	isHeld(t, keeper, lease.Running)
	lost("Renew for longer")
	mustRenew(t, a, time.Hour)
	lost("Renew for less")
	mustRenew(t, a, 0)
	for _, key := range []string{a.pool.adoptionKey(h.Lease().ID), a.pool.leaseKey(h.Lease().ID)} {
		if ttl := ttlOf(t, s, key); ttl != time.Minute {
			t.Errorf("%s has a TTL of %v, want a minute", key, ttl)
		}
	}
	if _, err := keeper.client.Revoke(soon(t), a.on.id); err != nil {
		t.Fatal(err)
	}
	lost("Renew of an adoption that has lapsed")
	mustRenew(t, a, 0)
	isHeld(t, keeper, lease.Running)
	lost("Release")
	mustRelease(t, a)
	if lose.Load() {
		t.Error("no answer of Release was lost")
	}
	isHeld(t, keeper, lease.Reserved)
	mustRelease(t, h)
	eventually(t, "nothing to be left", func() bool {
		leases, err := s.client.Leases(soon(t))
		return err == nil && len(leases.Leases) == 0 && len(left(t, s, "p")) == 1 // the starts
	})
}

// TestAdoptionLapsed: a frozen adopter has the lease again, unless another process has
// adopted it since, or it is gone.
func TestAdoptionLapsed(t *testing.T) {
	t.Parallel()
	server := engine.Etcd(t)
	s, other := open(t, "", server), open(t, "", server)
	h := mustTry(t, other, keptRequest(time.Minute))
	lapse := func(a *adoption) {
		t.Helper()
		if _, err := other.client.Revoke(soon(t), a.on.id); err != nil {
			t.Fatal(err)
		}
	}
	a := mustAdopt(t, s, h, someone)
	if err := a.Running(soon(t), child); err != nil {
		t.Fatal(err)
	}
	lapse(a)
	isHeld(t, other, lease.Reserved)
	mustRenew(t, a, 0)
	isHeld(t, other, lease.Running)
	if err := h.Release(soon(t)); !errors.As(err, new(*lease.AdoptedError)) {
		t.Errorf("Release: %v, want an AdoptedError", err)
	}

	lapse(a)
	b := mustAdopt(t, other, h, another)
	if _, err := a.Renew(soon(t), 0); !errors.Is(err, lease.ErrLost) {
		t.Errorf("Renew after another adoption: %v, want ErrLost", err)
	}
	mustRelease(t, a)
	mustRenew(t, b, 0)
	lapse(b)
	mustRelease(t, h)
	next := mustTry(t, s, request(1, time.Minute))
	if _, err := b.Renew(soon(t), 0); !errors.Is(err, lease.ErrLost) {
		t.Errorf("Renew after the lease has gone: %v, want ErrLost", err)
	}
	mustRelease(t, b)
	isHeld(t, s, lease.Reserved)
	mustRelease(t, next)
}

// TestAdopterSuspended: the slots stay taken for as long as the adoption, whatever becomes of
// the keeper. After that the lease has the TTL again that its keeper expects.
func TestAdopterSuspended(t *testing.T) {
	t.Parallel()
	server := engine.Etcd(t)
	s, other := open(t, "", server), open(t, "", server)
	const short = 2 * time.Second
	h := mustTry(t, other, keptRequest(short)).(*holding)
	record := h.pool.leaseKey(h.Lease().ID)
	a := mustAdopt(t, s, h, someone)
	mustRenew(t, a, time.Hour)
	if ttl := ttlOf(t, s, record); ttl != time.Hour {
		t.Errorf("the lease has a TTL of %v, want an hour as its adoption", ttl)
	}
	if end := clock.Now().Add(time.Hour - time.Minute); a.Expires() < end {
		t.Errorf("Expires in %v, want an hour", a.Expires().Sub(clock.Now()))
	}
	for range 2 { // its keeper renews it, and relies on no more than it has requested
		mustRenew(t, h, 0)
		if ttl := ttlOf(t, s, record); ttl != time.Hour {
			t.Errorf("the keeper has made it %v", ttl)
		}
		if left := h.Expires().Sub(clock.Now()); left > short {
			t.Errorf("the keeper relies on %v, which its adopter may shorten to %v", left, short)
		}
	}
	// A keeper that wants another TTL itself must not shorten that of the adoption.
	mustRenew(t, h, time.Minute)
	if ttl := ttlOf(t, s, record); ttl != time.Hour {
		t.Errorf("the keeper has made it %v", ttl)
	}
	mustRenew(t, h, 0)
	mustRenew(t, a, 0)
	mustRelease(t, a)
	mustRenew(t, h, 0)
	if ttl := ttlOf(t, s, record); ttl != short {
		t.Errorf("the lease has a TTL of %v after its adoption, want %v", ttl, short)
	}

	// An adopter that is killed while it is suspended.
	b := mustAdopt(t, s, h, someone)
	mustRenew(t, b, time.Hour)
	mustRenew(t, h, 0)
	if _, err := other.client.Revoke(soon(t), b.on.id); err != nil {
		t.Fatal(err)
	}
	mustRenew(t, h, 0)
	if ttl := ttlOf(t, s, record); ttl != short {
		t.Errorf("the lease has a TTL of %v after a dead adopter, want %v", ttl, short)
	}

	// The keeper is killed first: from now on nobody but the adopter renews the lease.
	c := mustAdopt(t, s, h, someone)
	mustRenew(t, c, time.Hour)
	mustRelease(t, c)
	mustRelease(t, mustGet(t, wait(t, mustLine(t, other, request(1, time.Minute)))))
}

// TestAdoptionExpiresFirst: an adoption ends by its own clock, also if its keeper has the
// lease for longer.
func TestAdoptionExpiresFirst(t *testing.T) {
	t.Parallel()
	s := open(t, "", engine.Etcd(t))
	const short = 5 * time.Second
	h := mustTry(t, s, keptRequest(short))
	mustRenew(t, h, time.Hour)
	a := mustAdopt(t, s, h, someone)
	for range 2 {
		if left := a.Expires().Sub(clock.Now()); left > short || left <= 0 {
			t.Errorf("the adopter relies on %v of %v", left, short)
		}
		mustRenew(t, a, 0)
	}
	mustRelease(t, a)
	if left := h.Expires().Sub(clock.Now()); left < time.Hour-time.Minute {
		t.Errorf("%v are left to the keeper, want an hour", left)
	}
	mustRelease(t, h)
}

// TestMessageDuringMove: a message that comes while the records are moved is not undone.
func TestMessageDuringMove(t *testing.T) {
	t.Parallel()
	server := engine.Etcd(t)
	s, other := open(t, "", server), open(t, "", server)
	h := mustTry(t, s, keptRequest(time.Minute))
	a := mustAdopt(t, s, h, someone)
	tell := func(reason string) {
		t.Helper()
		if _, err := other.Tell(soon(t), h.Lease().ID, lease.Message{Kind: lease.MessageStop, Stop: lease.Stop{Reason: reason}}); err != nil {
			t.Fatal(err)
		}
	}
	for i, moves := range []lease.Holding{h, a} {
		longer := time.Duration(i+1) * time.Hour
		tell("first")
		var once atomic.Bool
		s.kv = &hooked{other.kv, func() {
			if once.CompareAndSwap(false, true) {
				tell("second")
			}
		}, func() error { return nil }}
		mustRenew(t, moves, longer)
		s.kv = other.kv
		if !once.Load() {
			t.Error("nothing was moved")
		}
		for _, told := range []lease.Holding{h, a} {
			if in := mustRenew(t, told, longer); in.Stop == nil || in.Stop.Reason != "second" {
				t.Errorf("it was told %+v, want the second stop", in.Stop)
			}
		}
	}
}

// TestAdoptDamaged: an adoption that cannot be read is that of somebody. One that nothing
// would ever end is none.
func TestAdoptDamaged(t *testing.T) {
	t.Parallel()
	s := open(t, "", engine.Etcd(t))
	h := mustTry(t, s, keptRequest(time.Minute)).(*holding)
	key := h.pool.adoptionKey(h.Lease().ID)
	on, err := s.client.Grant(soon(t), 60)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.Put(soon(t), key, "{", clientv3.WithLease(on.ID)); err != nil {
		t.Fatal(err)
	}
	if err := h.Release(soon(t)); !errors.As(err, new(*lease.AdoptedError)) {
		t.Errorf("Release: %v, want an AdoptedError", err)
	}
	if _, err := s.Adopt(soon(t), h.Lease().ID, someone); !errors.As(err, new(*lease.AdoptedError)) {
		t.Errorf("Adopt: %v, want an AdoptedError", err)
	}
	if _, err := s.client.Put(soon(t), key, encode(adopted{Adopter: another})); err != nil {
		t.Fatal(err)
	}
	if in := mustRenew(t, h, 0); in.Adopter != nil {
		t.Errorf("the keeper was told of %+v", in.Adopter)
	}
	isHeld(t, s, lease.Reserved)
	mustRelease(t, mustAdopt(t, s, h, someone))
	if _, err := s.client.Put(soon(t), key, encode(adopted{Adopter: another})); err != nil {
		t.Fatal(err)
	}
	mustRelease(t, h)
}

// TestRenewDuringRefusedRelease: a keeper that tries to give back an adopted lease has it
// all the time.
func TestRenewDuringRefusedRelease(t *testing.T) {
	t.Parallel()
	s := open(t, "", engine.Etcd(t))
	h := mustTry(t, s, keptRequest(time.Minute))
	a := mustAdopt(t, s, h, someone)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 20 {
			if err := h.Release(soon(t)); !errors.As(err, new(*lease.AdoptedError)) || strings.Contains(err.Error(), "give back") {
				t.Errorf("Release: %v, want an AdoptedError", err)
			}
		}
	}()
	for range 20 {
		if _, err := h.Renew(soon(t), 0); err != nil {
			t.Errorf("Renew: %v", err)
		}
	}
	<-done
	mustRelease(t, a)
	mustRelease(t, h)
}
