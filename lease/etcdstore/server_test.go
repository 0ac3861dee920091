package etcdstore

import (
	"context"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/lease"
	"berth/lease/storetest/engine"
)

// TestFull: a cluster that has no room takes no grants, but slots are given back,
// and a waiter goes on waiting until there is room again.
func TestFull(t *testing.T) {
	server := engine.Etcd(t, "--quota-backend-bytes", "4000000")
	s := open(t, "", server)
	h := mustTry(t, s, request(1, time.Minute))
	p := wait(t, mustLine(t, s, request(1, time.Minute)))
	fillUp(t, s)
	mustRelease(t, h)
	if pools, err := s.List(soon(t), "p"); err != nil || pools[0].Used != 0 || len(pools[0].Waiters) != 1 {
		t.Errorf("%+v, %v; want a waiter and no holder", pools, err)
	}
	makeRoom(t, s, server)
	mustRelease(t, mustGet(t, p))
}

// fillUp writes until the cluster takes no more.
func fillUp(t *testing.T, s *Store) {
	t.Helper()
	var full error
	for full == nil {
		_, full = s.client.Put(soon(t), "junk", strings.Repeat("x", 500_000))
	}
}

func makeRoom(t *testing.T, s *Store, server *engine.Server) {
	t.Helper()
	gone, err := s.client.Delete(soon(t), "junk")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.Compact(soon(t), gone.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.Defragment(soon(t), server.Addr); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.AlarmDisarm(soon(t), &clientv3.AlarmMember{}); err != nil {
		t.Fatal(err)
	}
}

// TestCompacted: the events that a waiter missed while it was cut off are gone when
// it is back.
func TestCompacted(t *testing.T) {
	for name, holders := range map[string]int{"granted": 1, "freed": 2} {
		t.Run(name, func(t *testing.T) {
			server := engine.Etcd(t)
			line := engine.NewProxy(t, server.Addr)
			s, far := open(t, "", server), open(t, "", &engine.Server{Addr: line.Addr})
			far.timings.Recheck = time.Hour // and a TTL that wakes no waiter in this test
			var held []lease.Holding
			for range holders {
				held = append(held, mustTry(t, s, request(holders, time.Minute)))
			}
			r := request(holders, time.Hour)
			r.Weight = holders // so that the last one to go grants, and the one before frees
			p := mustLine(t, far, r)
			begun := wait(t, p)
			eventually(t, "the waiter to watch", func() bool { return watchers(t, server) >= 3 })
			line.TurnTo("")
			for _, h := range held {
				mustRelease(t, h)
			}
			put, err := s.client.Put(soon(t), "junk", "")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.client.Compact(soon(t), put.Header.Revision); err != nil {
				t.Fatal(err)
			}
			line.TurnTo(server.Addr)
			mustRelease(t, mustGet(t, begun))
		})
	}
}

// TestRestart: etcd keeps leases over a restart, and so holders and waiters stay.
func TestRestart(t *testing.T) {
	server := engine.Etcd(t)
	s := open(t, "", server)
	s.timings.Recheck = time.Hour
	h := mustTry(t, s, request(1, 10*time.Minute))
	first, second := wait(t, mustLine(t, s, request(1, time.Hour))), wait(t, mustLine(t, s, request(1, time.Hour)))
	server.Kill()
	server.Start()
	eventually(t, "Renew", func() bool {
		_, err := h.Renew(soon(t), 0)
		return err == nil
	})
	mustRelease(t, h)
	mustRelease(t, mustGet(t, first))
	mustRelease(t, mustGet(t, second))
}

// TestMembers: the leader is killed, and after that another member freezes. Two of
// three are enough for all that is done then.
func TestMembers(t *testing.T) {
	servers := engine.EtcdCluster(t, 3)
	s := open(t, "", servers...)
	h := mustTry(t, s, request(1, 30*time.Second))
	p, q, r := wait(t, mustLine(t, s, request(1, 30*time.Second))), wait(t, mustLine(t, s, request(1, 30*time.Second))), wait(t, mustLine(t, s, request(1, 30*time.Second)))
	leader := servers[leaderOf(t, s, servers)]
	leader.Kill()
	mustRelease(t, h)
	h = mustGet(t, p)
	eventually(t, "Renew", func() bool {
		_, err := h.Renew(soon(t), 0)
		return err == nil
	})
	leader.Start()
	for i, f := range servers {
		if i != leaderOf(t, s, servers) {
			f.Freeze()
			defer f.Thaw()
			break
		}
	}
	mustRelease(t, h)
	h = mustGet(t, q)
	mustRelease(t, h)
	mustRelease(t, mustGet(t, r))
	for range servers { // a newcomer may ask the frozen one first
		mustRelease(t, mustTry(t, open(t, "", servers...), request(1, time.Minute)))
	}
}

// leaderOf waits until one of those that answer leads.
func leaderOf(t *testing.T, s *Store, servers []*engine.Server) (leads int) {
	t.Helper()
	eventually(t, "a leader", func() bool {
		for i, server := range servers {
			ctx, cancel := context.WithTimeout(soon(t), time.Second)
			st, err := s.client.Status(ctx, server.Addr)
			cancel()
			if err == nil && st.Leader == st.Header.MemberId {
				leads = i
				return true
			}
		}
		return false
	})
	return leads
}
