package etcdstore

import (
	"strings"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/storetest/engine"
)

// TestStateNobodyHasWritten: a record with a state that no berth writes is damaged.
// It went to terminals as it was. It holds up nobody, and counts with what it holds.
func TestStateNobodyHasWritten(t *testing.T) {
	s := open(t, "/"+t.Name(), engine.Etcd(t))
	h := mustTry(t, s, request(2, time.Minute))
	p, err := s.pool("p")
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range []string{`\u001b]0;PWNED\u0007`, "orphaned", ""} {
		forged := strings.Replace(encode(h.Lease()), `"state":"reserved"`, `"state":"`+state+`"`, 1)
		if _, err := s.client.Put(soon(t), p.leaseOf(h.Lease().ID), forged); err != nil {
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
