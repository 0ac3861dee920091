package redisstore_test

import (
	"errors"
	"slices"
	"testing"

	"berth/lease"
)

// A waiter that is granted its slots without its knowledge has the names that these had then.
func TestNamesOfAnUnseenGrant(t *testing.T) {
	t.Parallel()
	server := known(t)
	s := open(t, server, "")
	name := func(names ...string) {
		t.Helper()
		if err := s.Set(within(t), "p", func(own lease.Settings, err error) (lease.Settings, error) {
			n := len(names)
			own.Limit, own.Names = &n, names
			return own, err
		}); err != nil {
			t.Fatal(err)
		}
	}
	name("cuda0")
	h := try(t, s, job(1, longTTL))
	p := line(t, s, job(1, longTTL))
	release(t, h)
	name("gpu0")
	h = get(t, p)
	want := []string{"cuda0"}
	if got := h.Lease().SlotNames; !slices.Equal(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
	command(t, server, "FLUSHALL")
	renew(t, h)
	if got := pool(t, s).Holders[0].Lease.SlotNames; !slices.Equal(got, want) {
		t.Errorf("after the server forgot them: names %q, want %q", got, want)
	}
	release(t, h)
}

// A lease that has ended leaves nothing of itself beside another one.
func TestEndedLeaseLeavesNothing(t *testing.T) {
	t.Parallel()
	server := known(t)
	s := open(t, server, "")
	if err := s.Set(within(t), "p", func(own lease.Settings, err error) (lease.Settings, error) {
		two := 2
		own.Limit, own.Names = &two, []string{"x", "y"}
		return own, err
	}); err != nil {
		t.Fatal(err)
	}
	stays := try(t, s, job(0, longTTL))
	before := command(t, server, "HLEN", "{berth}:data:p")
	h := try(t, s, kept(0, longTTL))
	for _, m := range []lease.Message{{Kind: lease.MessageKeepalive, Note: "half"}, {Kind: lease.MessageStop}, {Kind: lease.MessageRelease}} {
		if _, err := s.Tell(within(t), h.Lease().ID, m); err != nil {
			t.Fatal(err)
		}
	}
	a := adopt(t, s, h, 1)
	if err := a.Running(within(t), lease.Process{PID: 7}); err != nil {
		t.Fatal(err)
	}
	renew(t, a)
	command(t, server, "HSET", "{berth}:held:p", h.Lease().ID, "1 1 1 1 0 1 2 1 1") // long dead
	command(t, server, "ZADD", "{berth}:due:p", 1, h.Lease().ID)
	renew(t, stays)
	release(t, try(t, s, job(0, longTTL)))
	if got := command(t, server, "HLEN", "{berth}:data:p"); got != before {
		t.Errorf("%v; want %v fields, those of the other", command(t, server, "HGETALL", "{berth}:data:p"), before)
	}
	release(t, stays)
}

// Steps of an older berth drop a lease, and leave what they do not know. It goes with the last
// lease of the pool.
func TestOlderBerthDropsAnAdoptedLease(t *testing.T) {
	t.Parallel()
	server := known(t)
	s := open(t, server, "")
	h := try(t, s, kept(2, longTTL))
	id := h.Lease().ID
	a := adopt(t, s, h, 1)
	if _, err := s.Tell(within(t), id, lease.Message{Kind: lease.MessageKeepalive, Note: "half"}); err != nil {
		t.Fatal(err)
	}
	command(t, server, "HDEL", "{berth}:held:p", id)
	command(t, server, "ZREM", "{berth}:due:p", id)
	command(t, server, "HDEL", "{berth}:data:p", id, "c:"+id, "s:"+id, "k:"+id, "b:"+id, "o:"+id)
	for _, lost := range []lease.Holding{a, h} {
		if _, err := lost.Renew(within(t), 0); !errors.Is(err, lease.ErrLost) {
			t.Errorf("Renew: %v, want ErrLost", err)
		}
	}
	command(t, server, "DEL", "{berth}:slots:p")
	command(t, server, "HSET", "{berth}:pool:p", "sum", "0")
	release(t, try(t, s, job(2, longTTL)))
	if got := command(t, server, "EXISTS", "{berth}:data:p"); got != int64(0) {
		t.Errorf("%v; want nothing left", command(t, server, "HGETALL", "{berth}:data:p"))
	}
}
