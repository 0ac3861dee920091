package etcdstore

import (
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/lease"
	"berth/lease/storetest"
	"berth/lease/storetest/engine"
)

// TestKindOfMessageOfANewerBerth: what it was told is passed over, and goes with the record.
func TestKindOfMessageOfANewerBerth(t *testing.T) {
	s := open(t, "/"+t.Name(), engine.Etcd(t))
	h := mustTry(t, s, request(1, time.Minute)).(*holding)
	w, err := s.Line(soon(t), request(1, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	for id, on := range map[string]clientv3.LeaseID{h.lease.ID: h.on.id, w.Ticket().ID: w.(*place).attached.id} {
		if _, err := s.client.Put(soon(t), h.pool.toldKey(id, "dance"), "{}", clientv3.WithLease(on)); err != nil {
			t.Fatal(err)
		}
	}
	if in, err := h.Renew(soon(t), 0); err != nil || in != (lease.Inbox{}) {
		t.Errorf("%+v, %v; want nothing told", in, err)
	}
	if _, v, err := w.TryAcquire(soon(t), lease.Clearance{}); err != nil || v.Reason != lease.Full {
		t.Errorf("%+v, %v; want it to wait", v, err)
	}
	pools, err := s.List(soon(t), "p")
	if err != nil || len(pools[0].Holders) != 1 || len(pools[0].Waiters) != 1 || pools[0].Used != 1 || pools[0].Holders[0].Lease.State == lease.Damaged {
		t.Errorf("%+v, %v; want one holder and one waiter", pools, err)
	}
	mustRelease(t, h)
	next, err := storetest.Get(soon(t), w)
	if err != nil {
		t.Fatal(err)
	}
	mustRelease(t, next)
	left, err := s.client.Get(soon(t), h.pool.holders(), clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil || left.Count != 0 {
		t.Errorf("%d keys are left, %v", left.Count, err)
	}
}
