package etcdstore

import (
	"context"
	"errors"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/storetest/engine"
	"berth/limiter"
)

// watchPool is a watch of the pool through which nothing has come yet.
func watchPool(t *testing.T, s *Store) <-chan struct{} {
	t.Helper()
	changed, err := s.Watch(t.Context(), "p")
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

// isTold waits until the watcher is told that so many slots are in use.
func isTold(t *testing.T, s *Store, changed <-chan struct{}, used int) {
	t.Helper()
	ctx := soon(t)
	for {
		select {
		case _, open := <-changed:
			if !open {
				t.Fatal("the watch has ended")
			}
		case <-ctx.Done():
			t.Fatalf("it was not told that %d slots are in use", used)
		}
		if pools, err := s.List(ctx, "p"); err == nil && pools[0].Used == used {
			break
		}
	}
	for quiet := false; !quiet; { // what is left of this change must not tell of the next one
		select {
		case <-changed:
		case <-time.After(20 * time.Millisecond):
			quiet = true
		}
	}
}

// TestWatchCompacted: what a watcher missed while it was cut off is gone when it is back.
func TestWatchCompacted(t *testing.T) {
	t.Parallel()
	server := engine.Etcd(t)
	line := engine.NewProxy(t, server.Addr)
	s, far := open(t, "", server), open(t, "", &engine.Server{Addr: line.Addr})
	changed := watchPool(t, far)
	line.TurnTo("") // it has only just begun
	h := mustTry(t, s, request(1, time.Hour))
	line.TurnTo(server.Addr)
	isTold(t, s, changed, 1)
	for _, compacted := range []bool{false, true} {
		line.TurnTo("")
		mustRelease(t, h)
		if compacted {
			put, err := s.client.Put(soon(t), "junk", "")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.client.Compact(soon(t), put.Header.Revision); err != nil {
				t.Fatal(err)
			}
		}
		line.TurnTo(server.Addr)
		isTold(t, s, changed, 0)
		h = mustTry(t, s, request(1, time.Hour))
		isTold(t, s, changed, 1)
	}
	mustRelease(t, h)
}

// TestWatchRestarted: a watch outlives its server, and ends with its context or its store.
func TestWatchRestarted(t *testing.T) {
	t.Parallel()
	server := engine.Etcd(t)
	s, other := open(t, "", server), open(t, "", server)
	h := mustTry(t, s, request(1, time.Hour))
	changed := watchPool(t, other)
	server.Kill()
	server.Start()
	mustRelease(t, h)
	isTold(t, s, changed, 0)
	_ = other.Close()
	for range changed { // until it is closed
	}
	ctx, cancel := context.WithCancel(soon(t))
	changed, err := s.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	for range changed {
	}
	if _, err := s.Watch(ctx); err == nil {
		t.Error("a watch without a server that it could wait for began")
	}
}

// TestWatchSendsAnyway: a member that hangs tells nothing, so a watcher is told to look by the
// clock as well.
func TestWatchSendsAnyway(t *testing.T) {
	t.Parallel()
	s := open(t, "", engine.Etcd(t))
	s.timings.Resend = 10 * time.Millisecond
	changed, ctx := watchPool(t, s), soon(t)
	for range 3 {
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatal("it was told nothing")
		}
	}
}

// TestWatchIsQuiet: heartbeats change no key.
func TestWatchIsQuiet(t *testing.T) {
	t.Parallel()
	server := engine.Etcd(t)
	s := open(t, "", server)
	h := mustTry(t, s, keptRequest(time.Hour))
	a := mustAdopt(t, s, h, someone)
	if err := a.Running(soon(t), child); err != nil {
		t.Fatal(err)
	}
	mustRenew(t, a, 0)
	before, err := s.revision(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		mustRenew(t, h, 0)
		mustRenew(t, a, 0)
	}
	after, err := s.revision(soon(t))
	if err != nil || after != before {
		t.Errorf("revision %d after %d, %v; want none written", after, before, err)
	}
	mustRelease(t, a)
	mustRelease(t, h)
}

// TestAdoptedFull: a cluster that has no room ends adoptions and takes kept leases back.
func TestAdoptedFull(t *testing.T) {
	t.Parallel()
	server := engine.Etcd(t, "--quota-backend-bytes", "4000000")
	s := open(t, "", server)
	r := keptRequest(time.Hour)
	r.Limit = 2
	h := mustTry(t, s, r)
	r.ID = lease.NewID("p")
	other := mustTry(t, s, r)
	a := mustAdopt(t, s, h, someone)
	mustRenew(t, a, 2*time.Hour)
	changed := watchPool(t, s)
	fillUp(t, s)
	if _, err := s.Adopt(soon(t), other.Lease().ID, someone); err == nil {
		t.Error("a full cluster took an adoption")
	}
	mustRenew(t, a, 2*time.Hour)
	mustRenew(t, h, 0)
	mustRelease(t, a)
	mustRelease(t, h)
	mustRelease(t, other)
	isTold(t, s, changed, 0)
	makeRoom(t, s, server)
}

// TestAdoptedMemberHangs: the leader is frozen for good. Neither the keeper nor the adopter
// loses the lease, both give it back, and a watcher is told.
func TestAdoptedMemberHangs(t *testing.T) {
	t.Parallel()
	servers := engine.EtcdCluster(t, 3, asUsual...)
	s := open(t, "", servers...)
	k := &keepers{t, map[lease.Holding]*limiter.Session{}}
	h := mustTry(t, s, keptRequest(shortTTL))
	a := mustAdopt(t, open(t, "", servers...), h, someone)
	changed := watchPool(t, open(t, "", servers...))
	k.keep(h)
	k.keep(a)
	servers[leaderOf(t, s, servers)].Freeze()
	k.outlive()
	b, err := s.Adopt(soon(t), h.Lease().ID, another)
	if b != nil || !errors.As(err, new(*lease.AdoptedError)) {
		t.Errorf("Adopt: %v, %v; want an AdoptedError", b, err)
	}
	k.end(a)
	mustRelease(t, mustAdopt(t, s, h, another))
	k.end(h)
	isTold(t, s, changed, 0)
}
