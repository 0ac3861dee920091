package limiter

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"berth/lease"
	"berth/lease/clock"
)

// expiring is a holding whose lease holds for its TTL, on a test's clock.
type expiring struct {
	lease.Holding
	request lease.Request
	now     func() clock.Instant
	mu      sync.Mutex
	expires clock.Instant
	err     error // of every Renew
	hangs   bool
	n       int // renewals
}

// newExpiring is a session whose lease of 30 s is renewed every 5 s and given up 8 s
// before its end.
func newExpiring(c sessionClock) (*Session, *expiring) {
	return newExpiringOf(c, lease.Request{Pool: "p", TTL: 30 * time.Second, Heartbeat: 5 * time.Second, KillAfter: 5 * time.Second})
}

func newExpiringOf(c sessionClock, r lease.Request) (*Session, *expiring) {
	e := &expiring{request: r, now: c.now, expires: c.now().Add(r.TTL)}
	return newSession(e, c), e
}

func (e *expiring) Lease() lease.Lease                           { return lease.Lease{Request: e.request} }
func (e *expiring) Running(context.Context, lease.Process) error { return nil }

func (e *expiring) Release(ctx context.Context) error {
	e.mu.Lock()
	hangs := e.hangs
	e.mu.Unlock()
	if hangs {
		<-ctx.Done()
	}
	return ctx.Err()
}

func (e *expiring) Expires() clock.Instant {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.expires
}

func (e *expiring) renewals() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.n
}

var errAnswer = errors.New("out of reach")

func (e *expiring) set(err error, hangs bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err, e.hangs = err, hangs
}

func (e *expiring) Renew(ctx context.Context, ttl time.Duration) (lease.Inbox, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.n++
	switch {
	case e.hangs:
		e.mu.Unlock()
		<-ctx.Done()
		e.mu.Lock()
		return lease.Inbox{}, ctx.Err()
	case e.err != nil:
		return lease.Inbox{}, e.err
	}
	e.expires = e.now().Add(cmp.Or(ttl, e.request.TTL))
	return lease.Inbox{}, nil
}

// bubbleClock begins at one second; suspend lets it run ahead of the runtime's timers, as
// the suspend of a machine does.
func bubbleClock() (c sessionClock, suspend func(time.Duration)) {
	start, ahead, woken := time.Now(), time.Second, make(chan struct{})
	var mu sync.Mutex
	now := func() clock.Instant {
		mu.Lock()
		defer mu.Unlock()
		return clock.Instant(time.Since(start) + ahead)
	}
	sleep := func(ctx context.Context, at clock.Instant) {
		for at > now() && ctx.Err() == nil {
			mu.Lock()
			w := woken
			mu.Unlock()
			select {
			case <-time.After(at.Sub(now())):
			case <-w:
			case <-ctx.Done():
			}
		}
	}
	return sessionClock{now, sleep}, func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		ahead += d
		close(woken)
		woken = make(chan struct{})
	}
}

// received is what Events delivers from now on, until the session is closed or the test is over.
func received(t *testing.T, s *Session, handle func(Event)) {
	go func() {
		for {
			select {
			case e := <-s.Events():
				handle(e)
			case <-t.Context().Done():
				return
			}
		}
	}()
}

func TestSessionGivesUp(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(e *expiring, suspend func(time.Duration))
		lost time.Duration // after which it is given up; 0: not at all
	}{
		{"all is well", func(*expiring, func(time.Duration)) {}, 0},
		{"a short outage", func(e *expiring, _ func(time.Duration)) {
			e.set(errAnswer, false)
			time.Sleep(12 * time.Second)
			e.set(nil, false)
		}, 0},
		{"a long outage", func(e *expiring, _ func(time.Duration)) { e.set(errAnswer, false) }, 27 * time.Second},
		{"a dead connection", func(e *expiring, _ func(time.Duration)) { e.set(nil, true) }, 27 * time.Second},
		{"a suspend, and no other wanted the slot", func(_ *expiring, suspend func(time.Duration)) { suspend(time.Hour) }, 0},
		{"a suspend without a network afterwards", func(e *expiring, suspend func(time.Duration)) {
			e.set(nil, true)
			suspend(time.Hour)
		}, time.Hour + 7*time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clk, suspend := bubbleClock()
				start := clk.now()
				s, e := newExpiring(clk)
				bind(t, s)
				defer s.stopRenewing()
				var lost atomic.Int64
				received(t, s, func(ev Event) {
					if ev.Kind != Lost {
						return
					}
					now := clk.now()
					var left *ExpiringError
					if lost.Swap(int64(now.Sub(start))) != 0 {
						t.Error("given up twice")
					}
					if !errors.Is(ev.Err, lease.ErrLost) || !errors.As(ev.Err, &left) || left.Left != e.Expires().Sub(now) {
						t.Errorf("%v: want the time left of it", ev.Err)
					}
					// 3 s before its end everything is gone: that much is for the KILL and for the clocks.
					if want := max(0, min(left.Left-3*time.Second, 5*time.Second)); ev.Grace != want {
						t.Errorf("with %v left of the lease, %v for the job to end, want %v", left.Left, ev.Grace, want)
					}
				})
				time.Sleep(6 * time.Second) // one good renewal, at 5
				c.do(e, suspend)
				time.Sleep(2 * time.Minute)
				got := time.Duration(lost.Load())
				if want := c.lost; want == 0 && got != 0 || want != 0 && (got < want || got > want+2*time.Second) {
					t.Errorf("given up after %v, want %v (0: never)", got, want)
				}
			})
		})
	}
}

// TestSessionThroughAnElection: a cluster that elects another leader answers no call for
// two seconds. That ends no lease of five, whenever it begins.
func TestSessionThroughAnElection(t *testing.T) {
	for begin := time.Duration(0); begin < 4*time.Second; begin += 90 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			clk, _ := bubbleClock()
			ttl := 5 * time.Second
			s, e := newExpiringOf(clk, lease.Request{TTL: ttl, Heartbeat: ttl / 3, KillAfter: ttl})
			bind(t, s)
			defer s.stopRenewing()
			received(t, s, func(ev Event) {
				if ev.Kind == Lost {
					t.Errorf("begun %v after it was granted: %v", begin, ev.Err)
				}
			})
			time.Sleep(begin)
			e.set(errAnswer, false)
			time.Sleep(2 * time.Second)
			e.set(nil, false)
			time.Sleep(10 * time.Second)
		})
	}
}

// TestSessionTriesAtOnce: a Renew that took all of its time is followed by another at once.
func TestSessionTriesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clk, _ := bubbleClock()
		s, e := newExpiring(clk)
		e.set(nil, true)
		bind(t, s)
		defer s.stopRenewing()
		time.Sleep(10*time.Second + time.Millisecond) // from 5 to 10 the first one hangs
		if n := e.renewals(); n != 2 {
			t.Errorf("renewed %d times, want a second time", n)
		}
	})
}

// TestSessionSuspend: a lease that was renewed for longer while its owner was suspended
// is watched again afterwards, and one that came back is given up once more.
func TestSessionSuspend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clk, _ := bubbleClock()
		s, e := newExpiring(clk)
		bind(t, s)
		defer s.stopRenewing()
		var lost, regained atomic.Int32
		received(t, s, func(ev Event) {
			switch ev.Kind {
			case Lost:
				lost.Add(1)
			case Regained:
				regained.Add(1)
			}
		})
		if err := s.Suspend(func() {
			if left := e.Expires().Sub(clk.now()); left != time.Hour {
				t.Errorf("suspended with %v left, want an hour", left)
			}
			n := e.renewals()
			time.Sleep(10 * time.Minute)
			if m := e.renewals(); m != n {
				t.Errorf("renewed %d times while it was suspended", m-n)
			}
		}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if left := e.Expires().Sub(clk.now()); left > 30*time.Second {
			t.Errorf("%v left a second later: it was not renewed as usual", left)
		}
		for want := range int32(2) {
			e.set(errAnswer, false)
			time.Sleep(time.Minute)
			if lost.Load() != want+1 {
				t.Errorf("given up %d times, want %d", lost.Load(), want+1)
			}
			e.set(nil, false)
			time.Sleep(time.Minute)
			if regained.Load() != want+1 {
				t.Errorf("back %d times, want %d", regained.Load(), want+1)
			}
		}
		e.set(errAnswer, false)
		called := false
		if err := s.Suspend(func() { called = true }); !called || !errors.Is(err, errAnswer) {
			t.Errorf("suspended: %t, %v; want that, and why it was not renewed", called, err)
		}
	})
}

// TestCloseAfterALoss: what is lost may be out of reach, and nothing waits for it.
func TestCloseAfterALoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clk, _ := bubbleClock()
		s, e := newExpiring(clk)
		bind(t, s)
		e.set(nil, true)
		time.Sleep(time.Minute)
		start := time.Now()
		if err := s.Close(t.Context()); !errors.Is(err, lease.ErrLost) || time.Since(start) != afterLoss {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		s, e = newExpiring(clk)
		bind(t, s)
		e.set(nil, true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.Close(ctx); errors.Is(err, lease.ErrLost) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v: it was not lost", err)
		}
	})
}
