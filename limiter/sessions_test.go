package limiter

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"berth/lease"
	"berth/lease/clock"
)

// named is a holding of the lease with that id. Its renewals return what it is told.
type named struct {
	lease.Holding
	id    string
	in    lease.Inbox
	err   error
	calls *calls
	ends  clock.Instant
}

// calls are those of several holdings, in their order.
type calls struct {
	mu  sync.Mutex
	all []string
}

func (c *calls) note(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, what)
}

// taken are the calls so far, and they are forgotten.
func (c *calls) taken() (all []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all, c.all = c.all, nil
	return all
}

func (n *named) note(what string) {
	if n.calls != nil {
		n.calls.note(n.id + " " + what)
	}
}

func (n *named) Lease() lease.Lease {
	return lease.Lease{Request: lease.Request{ID: n.id, Heartbeat: time.Hour, TTL: 3 * time.Hour}}
}

func (n *named) Running(context.Context, lease.Process) error { n.note("running"); return n.err }
func (n *named) Expires() clock.Instant                       { return n.ends }
func (n *named) Unused(context.Context) error                 { n.note("unused"); return n.err }

func (n *named) Renew(_ context.Context, ttl time.Duration) (lease.Inbox, error) {
	n.note(fmt.Sprintf("renew %v", ttl))
	return n.in, n.err
}

// TestSessionsShareTheirEvents: what each lease is told comes from one channel, also what was
// not received before the second lease was there, and no event takes the place of another
// lease's. It takes no goroutine.
func TestSessionsShareTheirEvents(t *testing.T) {
	before := runtime.NumGoroutine()
	a, b := NewSession(&named{id: "a"}), NewSession(&named{id: "b"})
	a.tell(lease.Inbox{Stop: &lease.Stop{Reason: "early"}}, nil)
	ss := Sessions(nil).With(a)
	if ss.Events() != a.Events() {
		t.Error("a single session has another channel")
	}
	ss = ss.With(b)
	for range 3 {
		b.tell(lease.Inbox{}, nil)
	}
	b.tell(lease.Inbox{Keepalive: 7}, lease.ErrLost)
	a.tell(lease.Inbox{Keepalive: 5}, nil)
	got := map[string]Event{}
	for range 2 {
		e := <-ss.Events()
		got[e.Lease] = e
	}
	if e := got["a"]; e.Stop == nil || e.Stop.Reason != "early" || e.Keepalive != 5 || e.Kind != Renewed {
		t.Errorf("of a came %+v", e)
	}
	if e := got["b"]; e.Kind != Lost || e.Keepalive != 7 {
		t.Errorf("of b came %+v", e)
	}
	select {
	case e := <-ss.Events():
		t.Errorf("and %+v", e)
	default:
	}
	a.tell(lease.Inbox{}, nil)
	if c := NewSession(&named{id: "c"}); ss.With(c).Of("c") != c || ss.Of("x") != nil {
		t.Error("a session is not found by its lease")
	} else if e := <-c.Events(); e.Lease != "a" {
		t.Errorf("with a third one came %+v", e)
	}
	if n := runtime.NumGoroutine(); n != before {
		t.Errorf("%d goroutines, %d before", n, before)
	}
}

// TestSessionsForAll: an error of one lease does not keep the others from what is done for all.
func TestSessionsForAll(t *testing.T) {
	failure := errors.New("failure")
	synctest.Test(t, func(t *testing.T) {
		var calls calls
		clk, _ := bubbleClock()
		end := clk.now().Add(time.Hour)
		session := func(n *named) *Session { n.calls, n.ends = &calls, end; return newSession(n, clk) }
		ss := Sessions(nil).With(session(&named{id: "a", err: failure})).With(session(&named{id: "b"}))
		if err := ss.Bind(t.Context(), lease.Process{}); !errors.Is(err, failure) {
			t.Errorf("bind: %v", err)
		}
		err := ss.Suspend(func() { calls.note("suspended") })
		if !errors.Is(err, failure) {
			t.Errorf("suspend: %v", err)
		}
		got, want := calls.taken(), []string{"a running", "b running", "a renew 3h0m0s", "b renew 3h0m0s", "suspended"}
		if !slices.Equal(got[:len(want)], want) { // each is renewed once more after that
			t.Errorf("called %q, want %q", got, want)
		}
		synctest.Wait()
		calls.taken()
		if err := ss.Unused(t.Context()); !errors.Is(err, failure) {
			t.Errorf("unused: %v", err)
		}
		if got, want := calls.taken(), []string{"a unused", "b unused"}; !slices.Equal(got, want) {
			t.Errorf("called %q, want %q", got, want)
		}
	})
}

// TestKeepBeforeBind: a session that is kept is renewed, also one without heartbeats, and Bind
// begins no second time.
func TestKeepBeforeBind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &counting{}
		s := NewSession(h)
		s.Keep()
		time.Sleep(keepEvery + time.Millisecond)
		bind(t, s)
		time.Sleep(keepEvery)
		synctest.Wait()
		if h.n != 2 {
			t.Errorf("%d renewals in two heartbeats", h.n)
		}
		_ = s.Close(t.Context())
	})
}

// TestPossible: what can never start is known from the settings alone.
func TestPossible(t *testing.T) {
	own := func(n int) lease.Settings { return lease.Settings{Limit: &n} }
	for _, c := range []struct {
		weight int
		own    lease.Settings
		heavy  bool
	}{{2, own(2), false}, {3, own(2), true}, {3, own(0), false}} {
		if err := Possible(lease.Request{Pool: "p", Weight: c.weight}, c.own); errors.Is(err, lease.ErrTooHeavy) != c.heavy {
			t.Errorf("weight %d with the limit %d: %v", c.weight, *c.own.Limit, err)
		}
	}
}
