package limiter

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"berth/lease"
	"berth/lease/clock"
)

func bind(t *testing.T, s *Session) *Session {
	t.Helper()
	if err := s.Bind(t.Context(), lease.Process{}); err != nil {
		t.Fatal(err)
	}
	return s
}

// counting is a holding whose renewals fail every second time.
type counting struct {
	lease.Holding
	every time.Duration
	n     int
}

func (c *counting) Lease() lease.Lease {
	return lease.Lease{Request: lease.Request{Heartbeat: c.every}}
}

func (c *counting) Running(context.Context, lease.Process) error { return nil }
func (c *counting) Expires() clock.Instant                       { return 0 }
func (c *counting) Release(context.Context) error                { return nil }

func (c *counting) Renew(context.Context, time.Duration) (lease.Inbox, error) {
	if c.n++; c.n%2 == 0 {
		return lease.Inbox{}, errors.New("out of reach")
	}
	return lease.Inbox{Keepalive: clock.Instant(c.n)}, nil
}

func TestSessionRenews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &counting{every: time.Second}
		s := bind(t, NewSession(h))
		told, failed := 0, 0
		tell := func() {
			e := <-s.Events()
			if told++; e.Kind == Failed {
				failed++
			}
		}
		start := time.Now()
		tell()
		tell()
		time.Sleep(500 * time.Millisecond)
		s.Renew()
		tell()
		if d := time.Since(start); d != 2500*time.Millisecond {
			t.Errorf("two heartbeats and one on demand took %v, want 2.5s", d)
		}
		tell()
		time.Sleep(1500 * time.Millisecond) // no receiver: the heartbeats go on
		tell()
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		was := h.n
		time.Sleep(5 * time.Second)
		if h.n != was || told != 5 || failed != 2 {
			t.Errorf("%d renewals after %d, %d told, %d failed; want none after Close, 5, 2: an error must not end it", h.n, was, told, failed)
		}
		_ = s.Close(t.Context()) // twice is fine
	})
}

// demanding calls Renew of its session within the first heartbeat, when nothing is left to do
// but to set the timer.
type demanding struct {
	counting
	session *Session
	renewed chan int
}

func (d *demanding) Renew(ctx context.Context, ttl time.Duration) (lease.Inbox, error) {
	inbox, err := d.counting.Renew(ctx, ttl)
	if d.n == 1 {
		d.session.Renew()
	}
	d.renewed <- d.n
	return inbox, err
}

// TestRenewDuringAHeartbeat: it is not lost. (The heartbeat set the timer to its next time, over
// that of Renew: a 'berth stop' then waited a whole heartbeat.) Not in a bubble, where a timer
// that is due fires within Reset.
func TestRenewDuringAHeartbeat(t *testing.T) {
	for range 100 {
		h := &demanding{counting: counting{every: time.Hour}, renewed: make(chan int, 3)}
		h.session = NewSession(h)
		bind(t, h.session)
		h.session.Renew()
		for want := range 2 {
			select {
			case got := <-h.renewed:
				if got != want+1 {
					t.Fatalf("heartbeat %d, want %d", got, want+1)
				}
			case <-time.After(time.Minute):
				t.Fatal("the Renew within a heartbeat is lost")
			}
		}
		_ = h.session.Close(t.Context())
		if h.n != 2 {
			t.Fatalf("%d heartbeats, want 2", h.n)
		}
	}
}

// TestSessionWithoutHeartbeat: one whose command replaces this process is not renewed.
func TestSessionWithoutHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &counting{}
		s := bind(t, NewSession(h))
		time.Sleep(time.Hour)
		s.Renew()
		time.Sleep(time.Hour)
		if h.n != 0 {
			t.Errorf("renewed %d times", h.n)
		}
		_ = s.Close(t.Context())
	})
}

// bounded is one that has to be renewed every second.
type bounded struct{ counting }

func (r *bounded) HeartbeatAtMost() time.Duration { return time.Second }

func TestSessionHeartbeatBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, every := range []time.Duration{time.Hour, 100 * time.Millisecond} {
			s, start := bind(t, NewSession(&bounded{counting{every: every}})), time.Now()
			for range 3 {
				<-s.Events()
			}
			_ = s.Close(t.Context())
			if d := time.Since(start); d != 3*min(every, time.Second) {
				t.Errorf("three heartbeats of one every %v took %v", every, d)
			}
		}
	})
}

// TestSessionIsATimer: where nothing ends by a clock there is no goroutine.
func TestSessionIsATimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := runtime.NumGoroutine()
		s := bind(t, NewSession(&counting{every: time.Second}))
		if n := runtime.NumGoroutine() - before; n != 0 {
			t.Errorf("%d goroutines", n)
		}
		suspended := false
		if err := s.Suspend(func() { suspended = true }); err != nil || !suspended {
			t.Errorf("%v, suspended: %t", err, suspended)
		}
		_ = s.Close(t.Context())
	})
}

// TestEventsNotReceived: the last one wins, but a stop, a loss and a return are not lost.
func TestEventsNotReceived(t *testing.T) {
	lost, stop := lease.ErrLost, &lease.Stop{Reason: "enough"}
	type told struct {
		in  lease.Inbox
		err error
	}
	ok, fails, loses := told{}, told{err: errAnswer}, told{err: lost}
	for _, c := range []struct {
		name   string
		before []told // each is received
		told   []told // only the last event is received
		want   Event
	}{
		{"a stop", nil, []told{{in: lease.Inbox{Stop: stop, Keepalive: 7}}, fails}, Event{Kind: Failed, Stop: stop, Keepalive: 7, Err: errAnswer}},
		{"another stop", nil, []told{{in: lease.Inbox{Stop: &lease.Stop{}}}, {in: lease.Inbox{Stop: stop}}}, Event{Stop: stop}},
		{"a loss", nil, []told{loses, fails}, Event{Kind: Lost, Err: lost}},
		{"a loss that passed", nil, []told{loses, ok}, Event{Kind: Renewed}},
		{"a failure that passed", nil, []told{fails, ok}, Event{Kind: Renewed}},
		{"a loss once more", []told{loses}, []told{fails, loses}, Event{Kind: Failed, Err: lost}},
		{"a return", []told{loses}, []told{ok, ok}, Event{Kind: Regained}},
		{"a return and a failure", []told{loses}, []told{ok, fails}, Event{Kind: Regained, Err: errAnswer}},
		{"a return that passed", []told{loses}, []told{ok, loses}, Event{Kind: Failed, Err: lost}},
		{"a return before", []told{loses, ok}, []told{ok}, Event{Kind: Renewed}},
	} {
		s := NewSession(&counting{})
		for _, b := range c.before {
			s.tell(b.in, b.err)
			<-s.Events()
		}
		for _, e := range c.told {
			s.tell(e.in, e.err)
		}
		got := <-s.Events()
		if !errors.Is(got.Err, c.want.Err) {
			t.Errorf("%s: %v, want %v", c.name, got.Err, c.want.Err)
		}
		if got.Err, c.want.Err = nil, nil; got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestReady: a lease that has hardly any time left is renewed before its job is started.
func TestReady(t *testing.T) {
	for _, c := range []struct {
		name     string
		frozen   time.Duration
		err      error
		hangs    bool
		renewals int
		lost     bool
	}{
		{"at once", 0, errAnswer, false, 0, false},
		{"soon", 21 * time.Second, errAnswer, false, 0, false},
		{"late", 23 * time.Second, nil, false, 1, false},
		{"late, and out of reach", 23 * time.Second, errAnswer, false, 1, true},
		{"late, and no answer", 23 * time.Second, nil, true, 1, true},
		{"too late", time.Hour, lease.ErrLost, false, 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clk, _ := bubbleClock()
				s, e := newExpiring(clk)
				time.Sleep(c.frozen)
				e.set(c.err, c.hangs)
				err := s.Ready(t.Context())
				if errors.As(err, new(*LostError)) != c.lost || errors.Is(err, lease.ErrLost) != c.lost || e.renewals() != c.renewals {
					t.Errorf("%v, renewed %d times", err, e.renewals())
				}
			})
		})
	}
}
