package etcdstore

import (
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/lease"
	"berth/lease/clock"
	"berth/lease/storetest/engine"
)

// TestKeepaliveByAnotherClock: a keepalive counts as one of the time between two readings
// by the holder of the lease, also when a clock was set in between. One of an hour ago would have
// a busy job ended as idle, one that is still to come would spare one that hangs.
func TestKeepaliveByAnotherClock(t *testing.T) {
	s := open(t, "", engine.Etcd(t))
	h := mustTry(t, s, request(1, time.Minute)).(*holding)
	if err := h.Running(t.Context(), lease.Process{PID: 1}); err != nil {
		t.Fatal(err)
	}
	var was clock.Instant
	for _, off := range []time.Duration{-time.Hour, 10 * time.Minute, 0, -24 * time.Hour, time.Second / 2} {
		before := s.Clock()
		key, at := h.pool.toldKey(h.lease.ID, lease.MessageKeepalive), encode(timeOfDay().Add(off))
		if _, err := s.client.Put(soon(t), key, at, clientv3.WithLease(h.on.id)); err != nil {
			t.Fatal(err)
		}
		signs, err := h.Renew(soon(t), 0)
		if err != nil {
			t.Fatal(err)
		}
		if k := signs.Keepalive; k < before.Add(-time.Millisecond) || k > s.Clock() {
			t.Errorf("a clock that is %v off: called %v before the call, %v after it", off, before.Sub(k), k.Sub(s.Clock()))
		}
		was = signs.Keepalive
	}
	if signs, err := h.Renew(soon(t), 0); err != nil || signs.Keepalive != was {
		t.Errorf("%v, %v: no keepalive has come since %v", signs.Keepalive, err, was)
	}
}

// TestClockIsSet: neither the store's clock moves, nor is what the gates said too old.
func TestClockIsSet(t *testing.T) {
	for _, step := range []time.Duration{10 * time.Minute, -time.Hour} {
		s := open(t, "", engine.Etcd(t))
		p, err := s.Line(soon(t), gated())
		if err != nil {
			t.Fatal(err)
		}
		_, v, err := p.TryAcquire(soon(t), lease.Clearance{})
		if err != nil || v.Reason != lease.Gated {
			t.Fatalf("%+v, %v; want gated", v, err)
		}
		before, booted := s.Clock(), clock.Now()
		s.setBy = step
		if off := s.Clock().Sub(before) - clock.Now().Sub(booted); off > time.Minute || off < -time.Minute {
			t.Errorf("set by %v, it went on by %v more than the boot clock", step, off)
		}
		h, v, err := p.TryAcquire(soon(t), lease.Clearance{Gates: v.Gates, Last: v.Last, At: before})
		if h == nil || err != nil {
			t.Fatalf("%+v, %v; want a lease: its gates are open", v, err)
		}
		mustRelease(t, h)
	}
}
