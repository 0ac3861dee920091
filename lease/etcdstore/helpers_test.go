package etcdstore

import (
	"context"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/storetest"
)

// soon is a context that ends a wait that hangs.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*storetest.Deadline)
	t.Cleanup(cancel)
	return ctx
}

func request(n int, ttl time.Duration) lease.Request {
	r := storetest.Request("p", n)
	r.TTL = ttl
	return r
}

func mustTry(t *testing.T, s lease.Store, r lease.Request) lease.Holding {
	t.Helper()
	h, v, err := s.TryAcquire(soon(t), r)
	if h == nil || err != nil {
		t.Fatalf("TryAcquire: %v, %v; want a lease", v, err)
	}
	return h
}

func mustRelease(t *testing.T, h lease.Holding) {
	t.Helper()
	if err := h.Release(soon(t)); err != nil {
		t.Fatal(err)
	}
}

// mustLine is a place that has asked once, and so may be given its slots.
func mustLine(t *testing.T, s lease.Store, r lease.Request) *place {
	t.Helper()
	p, err := s.Line(soon(t), r)
	if err != nil {
		t.Fatal(err)
	}
	if h, v, err := p.TryAcquire(soon(t), lease.Clearance{}); h != nil || err != nil {
		t.Fatalf("Place.TryAcquire: %v, %v, %v; want to wait", h, v, err)
	}
	return p.(*place)
}

type got struct {
	lease.Holding
	err error
}

func wait(t *testing.T, p lease.Place) <-chan got {
	c, ctx := make(chan got, 1), soon(t)
	go func() {
		h, err := storetest.Get(ctx, p)
		c <- got{h, err}
	}()
	return c
}

func mustGet(t *testing.T, c <-chan got) lease.Holding {
	t.Helper()
	g := <-c
	if g.err != nil {
		t.Fatal(g.err)
	}
	return g
}

// eventually calls f until it is true.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for ctx := soon(t); !f(); time.Sleep(10 * time.Millisecond) {
		if ctx.Err() != nil {
			t.Fatalf("%s: not in time", what)
		}
	}
}
