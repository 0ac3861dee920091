package etcdstore

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/lease"
	"berth/lease/storetest/engine"
)

// TestHoldsName: a name of what a holder holds is read as it was meant, and nothing else
// is taken for one.
func TestHoldsName(t *testing.T) {
	for want, h := range map[string]claim{
		"0/0":        {[]int{0}, 0},
		"8/0-3,7":    {[]int{7, 2, 0, 1, 3}, 8},
		"1000/5,7-8": {[]int{5, 7, 8}, 1000},
	} {
		if got := h.name(); got != want {
			t.Errorf("%v is named %q, want %q", h, got, want)
		}
	}
	for range 1000 {
		h := claim{slots: rand.Perm(50)[:1+rand.IntN(20)], limit: rand.IntN(100)}
		slices.Sort(h.slots)
		if got, err := parseClaim(h.name()); err != nil || !reflect.DeepEqual(got, h) {
			t.Fatalf("%q is read as %v, %v; want %v", h.name(), got, err, h)
		}
	}
	for _, bad := range []string{
		"", "/", "8", "8/", "/1", "-1/0", "8/-1", "8/x", "8/3-1", "8/0,0", "8/1,0", "8/0-1,1", "8/0,1", "8/00", "+8/0", "8/0 ",
		"8/0-99999999999", "8/0-9999999,10000001-20000000", "8/0/1",
	} {
		if h, err := parseClaim(bad); err == nil {
			t.Errorf("%q is read as %d slots of a holder that asks for %d", bad, len(h.slots), h.limit)
		}
	}
}

// asBefore is a holder as a berth wrote it that knew nothing of names.
func asBefore(t *testing.T, s *Store, id string, asks int, slots ...int) clientv3.LeaseID {
	t.Helper()
	p, err := s.pool("p")
	if err != nil {
		t.Fatal(err)
	}
	life, err := s.grantLease(soon(t), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	record := fmt.Sprintf(`{"v":1,"id":"p/%s","pool":"p","limit":%d,"weight":%d,"priority":0,"owner":{"pid":7,"start":1},"uid":0,`+
		`"command":["make"],"slots":%s,"token":0,"in_force":%d,"asks":%d,"state":"running","since":"2026-11-01T12:00:00Z","start":{}}`,
		id, asks, len(slots), encode(slots), asks, asks)
	_, err = s.client.Txn(soon(t)).Then(
		clientv3.OpPut(p.leaseKey("p/"+id), record, clientv3.WithLease(life.id)),
		clientv3.OpPut(p.grantsKey(), encode(lease.Starts{Count: 1})),
	).Commit()
	if err != nil {
		t.Fatal(err)
	}
	return life.id
}

// TestHoldersOfBefore: a holder started by a berth that wrote no names counts with what
// its record says, beside others and alone, and however many there are.
func TestHoldersOfBefore(t *testing.T) {
	server := engine.Etcd(t)
	for _, many := range []int{1, mostOps + 20} {
		s := open(t, fmt.Sprint("/", many), server)
		h := mustTry(t, s, request(1000, time.Minute))
		for i := range many {
			asBefore(t, s, fmt.Sprintf("%012x", i), 2*many+1, 2*i+1, 2*i+2)
		}
		if h, v, err := s.TryAcquire(soon(t), request(1000, time.Minute)); h != nil || err != nil || v.Used != 2*many+1 || v.Limit != 2*many+1 {
			t.Fatalf("%d: %v, %+v, %v; want it full", many, h, v, err)
		}
		p := mustLine(t, s, request(1000, time.Minute))
		mustRelease(t, h) // which hands it over, by the same numbers
		h = mustGet(t, wait(t, p))
		if slots := h.Lease().Slots; !reflect.DeepEqual(slots, []int{0}) {
			t.Errorf("%d: slots %v, want the one that is free", many, slots)
		}
		if h, v, err := s.TryAcquire(soon(t), request(1000, time.Minute)); h != nil || err != nil || v.Reason != lease.Full {
			t.Errorf("%d: %v, %+v, %v; want it full", many, h, v, err)
		}
	}
}

// TestNameOfNobody: a name counts only if it was written with the record that it is beside.
func TestNameOfNobody(t *testing.T) {
	s := open(t, "", engine.Etcd(t))
	asBefore(t, s, "x", 3, 0, 1)
	p := pool{"p", s.dir + "p/"}
	if _, err := s.client.Put(soon(t), p.holder("p/x")+claimKind+"9/5", ""); err != nil {
		t.Fatal(err)
	}
	if h, v, err := s.TryAcquire(soon(t), request(1000, time.Minute)); h == nil || err != nil || v.Used != 2 || v.Limit != 3 {
		t.Errorf("%v, %+v, %v; want 2 of 3 in use before it", h, v, err)
	}
}

// TestReadByOthers: a berth that knows of no names finds the whole record where it always
// was, and takes with it all there is of a holder when it goes.
func TestReadByOthers(t *testing.T) {
	s := open(t, "", engine.Etcd(t))
	r := request(5, time.Minute)
	r.Weight = 3
	h := mustTry(t, s, r)
	p := pool{"p", s.dir + "p/"}
	resp, err := s.client.Get(soon(t), p.leaseKey(r.ID))
	if err != nil {
		t.Fatal(err)
	}
	had, err := decodeLease(only(resp.Kvs))
	if err != nil || !had.exists() || !reflect.DeepEqual(had.value.Slots, []int{0, 1, 2}) || had.value.RequestedLimit != 5 || had.value.ID != r.ID || had.value.Token != h.Lease().Token {
		t.Fatalf("%+v, %v", had.value, err)
	}
	if _, err := s.client.Delete(soon(t), p.holder(r.ID), clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	if keys := left(t, s, "p"); len(keys) != 1 { // the grants
		t.Errorf("%v are left", keys)
	}
	// What a name says without its record does not count: a hand took the record alone.
	if _, err := s.client.Put(soon(t), p.claimKey(h.Lease()), ""); err != nil {
		t.Fatal(err)
	}
	mustRelease(t, mustTry(t, s, r))
}
