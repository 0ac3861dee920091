package etcdstore

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/lease"
	"berth/lease/storetest/engine"
)

// TestStateNobodyHasWritten: a record with a state that no berth writes is damaged.
// It went to terminals as it was. It holds up no other, and counts with what it holds.
func TestStateNobodyHasWritten(t *testing.T) {
	s := open(t, "/"+t.Name(), engine.Etcd(t))
	h := mustTry(t, s, request(2, time.Minute))
	p, err := s.pool("p")
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range []string{`\u001b]0;PWNED\u0007`, "orphaned", ""} {
		forged := strings.Replace(encode(h.Lease()), `"state":"reserved"`, `"state":"`+state+`"`, 1)
		if _, err := s.client.Put(soon(t), p.leaseKey(h.Lease().ID), forged); err != nil {
			t.Fatal(err)
		}
		pools, err := s.List(soon(t), "p")
		if err != nil || len(pools[0].Holders) != 1 || pools[0].Holders[0].Lease.State != lease.Damaged {
			t.Errorf("state %q: %v, %+v; want it damaged", state, err, pools)
		}
		other := mustTry(t, s, request(2, time.Minute))
		if third, v, err := s.TryAcquire(soon(t), request(2, time.Minute)); third != nil || err != nil || v.Reason != lease.Full {
			t.Errorf("state %q: %v, %+v, %v; want it to count as the slot that it is", state, third, v, err)
		}
		mustRelease(t, other)
	}
}

// told is a store that keeps what it tells of records.
func told(t *testing.T, path string, server *engine.Server) (*Store, func() []string) {
	s := open(t, path, server)
	var mu sync.Mutex
	var all []string
	s.notice = func(err error) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, err.Error())
	}
	return s, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

// onLease writes a key as a client with a hand of its own does.
func onLease(t *testing.T, s *Store, key, value string, ttl int64) clientv3.LeaseID {
	t.Helper()
	l, err := s.client.Grant(soon(t), ttl)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.Put(soon(t), key, value, clientv3.WithLease(l.ID)); err != nil {
		t.Fatal(err)
	}
	return l.ID
}

func full(t *testing.T, s *Store, n int) {
	t.Helper()
	if h, v, err := s.TryAcquire(soon(t), request(n, time.Minute)); h != nil || err != nil || v.Reason != lease.Full {
		t.Errorf("%v, %+v, %v; want it full", h, v, err)
	}
}

// TestDamagedHolder: a holder's record that cannot be read counts as one slot for as long
// as its etcd lease lives. No job could start beside it.
func TestDamagedHolder(t *testing.T) {
	server := engine.Etcd(t)
	for what, record := range map[string]string{
		"no JSON": "???", "of a later version": `{"v":9,"slots":"all"}`, "empty": "", "no slots": `{"v":1,"id":"p/x"}`,
		"of another request": `{"v":1,"id":"p/y","slots":[0,1,2]}`, "slots below 0": `{"v":1,"id":"p/x","slots":[-1]}`,
	} {
		t.Run(what, func(t *testing.T) {
			s, said := told(t, "/"+t.Name(), server)
			p := pool{"p", s.dir + "p/"}
			life := onLease(t, s, p.leaseKey("p/x"), record, 60)
			h := mustTry(t, s, request(2, time.Minute))
			full(t, s, 2)
			full(t, s, 2)
			if say := said(); len(say) != 1 || !strings.Contains(say[0], "etcdctl del '"+p.leaseKey("p/x")+"'") {
				t.Errorf("said %q, want it once with its key", say)
			}
			pools, err := s.List(soon(t), "p")
			if err != nil || pools[0].Used != 2 {
				t.Fatalf("%+v, %v; want 2 in use", pools, err)
			}
			for _, e := range pools[0].Holders {
				if bad := e.Lease.ID == "p/x"; bad != (e.Lease.State == lease.Damaged) || bad != strings.Contains(e.Note, "etcdctl del '"+p.leaseKey("p/x")+"'") {
					t.Errorf("%s is %s, %q", e.Lease.ID, e.Lease.State, e.Note)
				}
			}
			w := wait(t, mustLine(t, s, request(2, time.Minute)))
			if _, err := s.client.Revoke(soon(t), life); err != nil {
				t.Fatal(err)
			}
			mustRelease(t, mustGet(t, w))
			mustRelease(t, h)
		})
	}
}

// TestDamagedByHand: a record that was written over counts with what its holder holds, and
// its owner keeps it; one that is not renewed goes.
func TestDamagedByHand(t *testing.T) {
	s, said := told(t, "", engine.Etcd(t))
	r := request(4, time.Minute)
	r.Weight = 3
	h := mustTry(t, s, r)
	p := pool{"p", s.dir + "p/"}
	for _, key := range []string{p.leaseKey(r.ID), p.leaseKey("p/x")} {
		if _, err := s.client.Put(soon(t), key, "???"); err != nil { // and on no etcd lease
			t.Fatal(err)
		}
	}
	full(t, s, 4)
	if say := said(); len(say) != 2 {
		t.Errorf("said %q, want both once", say)
	}
	pools, err := s.List(soon(t), "p")
	if err != nil || pools[0].Used != 4 {
		t.Errorf("%+v, %v; want 4 in use", pools, err)
	}
	for _, key := range []string{p.leaseKey(r.ID), p.leaseKey("p/x")} {
		resp, err := s.client.Get(soon(t), key)
		if err != nil {
			t.Fatal(err)
		}
		live, err := s.client.TimeToLive(soon(t), clientv3.LeaseID(only(resp.Kvs).Lease))
		if err != nil || live.GrantedTTL != wholeSeconds(lease.DefaultTTL) {
			t.Errorf("%s: %+v, %v; want it on an etcd lease", key, live, err)
		}
	}
	if _, err := h.Renew(soon(t), 0); err != nil {
		t.Errorf("Renew: %v", err)
	}
	mustRelease(t, h)
	if keys := left(t, s, "p"); slices.Contains(keys, p.leaseKey(r.ID)) {
		t.Errorf("%v are left", keys)
	}
}

// TestDamagedWaiter: a waiter's record that cannot be read holds up no other, wherever it
// stands in the line and whichever process comes to it first. The line stood still behind it.
func TestDamagedWaiter(t *testing.T) {
	server := engine.Etcd(t)
	for what, record := range map[string]string{"no JSON": "???", "of no request": "{}", "weighs nothing": ""} {
		for who, ends := range map[string]func(*testing.T, *Store, lease.Holding){
			"a newcomer": func(t *testing.T, s *Store, h lease.Holding) {
				mustRelease(t, mustTry(t, s, request(2, time.Minute)))
			},
			"the next": func(t *testing.T, s *Store, h lease.Holding) {
				full := mustTry(t, s, request(2, time.Minute)) // which has met it; so a second one:
				waiter := mustLine(t, s, request(2, time.Minute))
				p := waiter.pool
				onLease(t, s, p.line()+"20/00000000000000000002-y", "???", 60)
				w := wait(t, waiter)
				mustRelease(t, full)
				mustRelease(t, mustGet(t, w))
			},
			"one in the line": func(t *testing.T, s *Store, h lease.Holding) {
				p, err := s.Line(soon(t), request(2, time.Minute))
				if err != nil {
					t.Fatal(err)
				}
				g, v, err := p.TryAcquire(soon(t), lease.Clearance{})
				if g == nil || err != nil {
					t.Fatalf("%+v, %v; want the slot that is free", v, err)
				}
				mustRelease(t, g)
			},
			"a holder": func(t *testing.T, s *Store, h lease.Holding) {
				more := mustTry(t, s, request(2, time.Minute))
				waiter := mustLine(t, s, request(2, time.Minute))
				for i := range 3 {
					onLease(t, s, fmt.Sprintf("%s20/%020d-y", waiter.pool.line(), i+2), "???", 60)
				}
				mustRelease(t, more)
				// Given without a look of its own.
				if keys := left(t, s, "p"); !slices.Contains(keys, waiter.pool.leaseKey(waiter.ticket.ID)) {
					t.Errorf("%v; want the slots handed over", keys)
				}
				mustRelease(t, mustGet(t, wait(t, waiter)))
			},
		} {
			t.Run(what+"/"+who, func(t *testing.T) {
				s, said := told(t, "/"+t.Name(), server)
				p := pool{"p", s.dir + "p/"}
				h := mustTry(t, s, request(2, time.Minute))
				key := p.line() + "20/00000000000000000001-x"
				if record == "" {
					record = encode(waiting{Ticket: lease.Ticket{Request: lease.Request{ID: "p/x"}, Seq: 1}, Grantable: true})
				}
				onLease(t, s, key, record, 60)
				ends(t, s, h)
				if keys := left(t, s, "p"); slices.ContainsFunc(keys, func(k string) bool { return strings.HasPrefix(k, p.line()) }) {
					t.Errorf("%v are left", keys)
				}
				if say := said(); len(say) == 0 || !strings.Contains(say[0], key) {
					t.Errorf("said %q, want %s", say, key)
				}
				mustRelease(t, h)
			})
		}
	}
}

// TestDamagedOfOurs: a waiter whose own record was written over keeps its place, and one of
// a newer berth that is alive is left alone.
func TestDamagedOfOurs(t *testing.T) {
	s, said := told(t, "", engine.Etcd(t))
	h := mustTry(t, s, request(1, time.Minute))
	first, second := mustLine(t, s, request(1, time.Minute)), mustLine(t, s, request(1, time.Minute))
	if _, err := s.client.Put(soon(t), first.pool.lineKey(first.ticket), "???"); err != nil {
		t.Fatal(err)
	}
	if g, v, err := second.TryAcquire(soon(t), lease.Clearance{}); g != nil || err != nil { // takes it out
		t.Fatalf("%v, %v, %v; want it to wait", g, v, err)
	}
	if g, v, err := first.TryAcquire(soon(t), lease.Clearance{}); g != nil || err != nil || v.Reason != lease.Full {
		t.Fatalf("%v, %v, %v; want it to be the first again", g, v, err)
	}
	if g, v, err := second.TryAcquire(soon(t), lease.Clearance{}); g != nil || err != nil || v.Reason != lease.Behind {
		t.Fatalf("%v, %v, %v; want it behind the first", g, v, err)
	}
	a, b := wait(t, first), wait(t, second)
	mustRelease(t, h)
	mustRelease(t, mustGet(t, a))
	h = mustGet(t, b)

	before := len(said())
	newer := first.pool.line() + "20/00000000000000000001-x"
	onLease(t, s, newer, `{"v":2,"id":{"a":"p/x"}}`, 60)
	if g, v, err := s.TryAcquire(soon(t), request(2, time.Minute)); g != nil || err != nil || v.Reason != lease.Behind {
		t.Errorf("%v, %v, %v; want it behind the newer one", g, v, err)
	}
	mustRelease(t, h)
	if !slices.Contains(left(t, s, "p"), newer) || len(said()) != before {
		t.Errorf("it is gone: %q", said())
	}
}
