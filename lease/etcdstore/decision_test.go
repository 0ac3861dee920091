package etcdstore

import (
	"sync"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/storetest/engine"
)

// TestDecisionHolds: what a decision rests on changes between its read and its
// transaction.
func TestDecisionHolds(t *testing.T) {
	server := engine.Etcd(t)
	urgent := request(1, time.Minute)
	urgent.Priority = -5
	line := func(r lease.Request) func(*testing.T, lease.Store) {
		return func(t *testing.T, s lease.Store) {
			if _, err := s.Line(soon(t), r); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		waits  bool // it stands in the line; else it is a newcomer
		change func(*testing.T, lease.Store)
		want   lease.Reason
	}{
		"taken": {false, func(t *testing.T, s lease.Store) { mustTry(t, s, request(1, time.Minute)) }, lease.Full},
		"drained": {false, func(t *testing.T, s lease.Store) {
			if err := s.Set(soon(t), "p", func(lease.Settings, error) (lease.Settings, error) {
				return lease.Settings{Limit: new(int)}, nil
			}); err != nil {
				t.Fatal(err)
			}
		}, lease.Drained},
		"lined up":     {false, line(request(1, time.Minute)), lease.Behind},
		"more urgent":  {true, line(urgent), lease.Behind},
		"taken before": {true, func(t *testing.T, s lease.Store) { mustTry(t, s, urgent) }, lease.Full},
	} {
		t.Run(name, func(t *testing.T) {
			s, other := open(t, "/"+t.Name(), server), open(t, "/"+t.Name(), server)
			try := func() (lease.Holding, lease.Verdict, error) { return s.TryAcquire(soon(t), request(1, time.Minute)) }
			if c.waits {
				h := mustTry(t, s, request(1, time.Minute))
				p := mustLine(t, s, request(1, time.Minute))
				// Its holder's end alone: it is granted nothing.
				if _, err := s.client.Revoke(soon(t), h.(*holding).on.id); err != nil {
					t.Fatal(err)
				}
				try = func() (lease.Holding, lease.Verdict, error) { return p.TryAcquire(soon(t), lease.Clearance{}) }
			}
			change := sync.OnceFunc(func() { c.change(t, other) })
			s.kv = &hooked{s.kv, change, func() error { return nil }}
			if h, v, err := try(); h != nil || err != nil || v.Reason != c.want {
				t.Errorf("%v, %v, %v; want %s", h, v, err, c.want)
			}
		})
	}
}

// TestSettledOnce: two give their slots back at once, and both see the same head.
func TestSettledOnce(t *testing.T) {
	server := engine.Etcd(t)
	s, other := open(t, "", server), open(t, "", server)
	a, b := mustTry(t, s, request(2, time.Minute)), mustTry(t, other, request(2, time.Minute))
	p, q, r := mustLine(t, other, request(2, time.Minute)), mustLine(t, other, request(2, time.Minute)), mustLine(t, other, request(2, time.Minute))
	between := sync.OnceFunc(func() { mustRelease(t, b) })
	s.kv = &hooked{s.kv, between, func() error { return nil }}
	mustRelease(t, a)
	pools, err := s.List(soon(t), "p")
	if err != nil || pools[0].Used != 2 || len(pools[0].Waiters) != 1 {
		t.Fatalf("%+v, %v; want both slots handed over", pools, err)
	}
	mustRelease(t, mustGet(t, wait(t, p)))
	mustRelease(t, mustGet(t, wait(t, q)))
	mustRelease(t, mustGet(t, wait(t, r)))
}

// TestLeftWhileGranted: a waiter that leaves while its slots are on their way to it gets none.
func TestLeftWhileGranted(t *testing.T) {
	server := engine.Etcd(t)
	s, other := open(t, "", server), open(t, "", server)
	h := mustTry(t, s, request(1, time.Minute))
	p, q := mustLine(t, other, request(1, time.Minute)), mustLine(t, other, request(1, time.Minute))
	leave := sync.OnceFunc(func() {
		if err := p.Leave(soon(t)); err != nil {
			t.Error(err)
		}
	})
	s.kv = &hooked{s.kv, leave, func() error { return nil }}
	mustRelease(t, h)
	pools, err := s.List(soon(t), "p")
	if err != nil || len(pools[0].Holders) != 1 || pools[0].Holders[0].Lease.ID != q.ticket.ID {
		t.Fatalf("%+v, %v; want the slot with the second", pools, err)
	}
	mustRelease(t, mustGet(t, wait(t, q)))
}
