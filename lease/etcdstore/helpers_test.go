package etcdstore

import (
	"context"
	"io"
	"net"
	"sync"
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

// until waits until the place has its slots.
func until(ctx context.Context, p lease.Place) (lease.Holding, error) {
	for {
		h, _, err := p.TryAcquire(ctx, lease.Clearance{})
		if h != nil || err != nil {
			return h, err
		}
		if err := p.Wait(ctx); err != nil {
			return nil, err
		}
	}
}

type got struct {
	lease.Holding
	err error
}

func wait(t *testing.T, p lease.Place) <-chan got {
	c, ctx := make(chan got, 1), soon(t)
	go func() {
		h, err := until(ctx, p)
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

// cable is a connection to a server that can be cut.
type cable struct {
	net.Listener
	to   string
	mu   sync.Mutex
	cut  bool
	ends []net.Conn
}

func newCable(t *testing.T, to string) *cable {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{Listener: l, to: to}
	t.Cleanup(func() { _ = l.Close(); c.set(true) })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go c.serve(in)
		}
	}()
	return c
}

func (c *cable) serve(in net.Conn) {
	out, err := net.Dial("tcp", c.to)
	if err != nil {
		_ = in.Close()
		return
	}
	c.mu.Lock()
	c.ends = append(c.ends, in, out)
	cut := c.cut
	c.mu.Unlock()
	if cut {
		_, _ = in.Close(), out.Close()
		return
	}
	go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
	_, _ = io.Copy(in, out)
	_ = in.Close()
}

func (c *cable) set(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
	for _, e := range c.ends {
		if cut {
			_ = e.Close()
		}
	}
	if cut {
		c.ends = nil
	}
}
