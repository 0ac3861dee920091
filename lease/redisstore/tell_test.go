package redisstore_test

import (
	"testing"

	"berth/lease"
)

// TestKindOfMessageOfANewerBerth: what it was told is passed over.
func TestKindOfMessageOfANewerBerth(t *testing.T) {
	t.Parallel()
	server := known(t)
	s := open(t, server, "")
	h := try(t, s, job(1, longTTL))
	w := line(t, s, job(1, longTTL))
	for _, id := range []string{h.Lease().ID, w.Ticket().ID} {
		command(t, server, "HSET", "{berth}:data:p", "dance:"+id, "{}")
	}
	if in, err := h.Renew(within(t), 0); err != nil || in != (lease.Inbox{}) {
		t.Errorf("%+v, %v; want nothing told", in, err)
	}
	if _, v, err := w.TryAcquire(within(t), lease.Clearance{}); err != nil || v.Reason != lease.Full {
		t.Errorf("%+v, %v; want it to wait", v, err)
	}
	got := pool(t, s)
	if len(got.Holders) != 1 || len(got.Waiters) != 1 || got.Used != 1 || got.Holders[0].Lease.State == lease.Damaged {
		t.Errorf("%+v; want one holder and one waiter", got)
	}
}
