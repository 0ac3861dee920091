package lease

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"berth/lease/clock"
)

// counting is a holding whose renewals fail every second time.
type counting struct {
	Holding
	n int
}

func (c *counting) Expires() clock.Instant { return 0 }

func (c *counting) Renew(context.Context, time.Duration) (Inbox, error) {
	if c.n++; c.n%2 == 0 {
		return Inbox{}, errors.New("out of reach")
	}
	return Inbox{Keepalive: clock.Instant(c.n)}, nil
}

func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &counting{}
		k := Keep(h, Beats{Every: time.Second})
		told, failed := 0, 0
		tell := func() {
			r := <-k.Renewals()
			if told++; r.Err != nil {
				failed++
			}
		}
		start := time.Now()
		tell()
		tell()
		time.Sleep(500 * time.Millisecond)
		k.Now()
		tell()
		if d := time.Since(start); d != 2500*time.Millisecond {
			t.Errorf("two beats and one on demand took %v, want 2.5s", d)
		}
		tell()
		time.Sleep(1500 * time.Millisecond) // nobody reads: the beat goes on
		tell()
		k.Stop()
		was := h.n
		time.Sleep(5 * time.Second)
		if h.n != was || told != 5 || failed != 2 {
			t.Errorf("%d renewals after %d, %d told, %d failed; want none after Stop, 5, 2: an error must not end it", h.n, was, told, failed)
		}
	})
}

// bounded is one that has to be renewed every second.
type bounded struct{ counting }

func (r *bounded) HeartbeatAtMost() time.Duration { return time.Second }

func TestKeepHeartbeatBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, every := range []time.Duration{time.Hour, 100 * time.Millisecond} {
			k, start := Keep(&bounded{}, Beats{Every: every}), time.Now()
			for range 3 {
				<-k.Renewals()
			}
			k.Stop()
			if d := time.Since(start); d != 3*min(every, time.Second) {
				t.Errorf("three heartbeats of one every %v took %v", every, d)
			}
		}
	})
}

// expiring is a holding whose lease holds for ttl, on a clock of its own.
type expiring struct {
	Holding
	now     func() clock.Instant
	ttl     time.Duration
	mu      sync.Mutex
	expires clock.Instant
	fails   bool
	hangs   bool
	n       int
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

func (e *expiring) set(fails, hangs bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fails, e.hangs = fails, hangs
}

func (e *expiring) Renew(ctx context.Context, ttl time.Duration) (Inbox, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.n++
	switch {
	case e.hangs:
		e.mu.Unlock()
		<-ctx.Done()
		e.mu.Lock()
		return Inbox{}, ctx.Err()
	case e.fails:
		return Inbox{}, errors.New("out of reach")
	}
	if ttl == 0 {
		ttl = e.ttl
	}
	e.expires = e.now().Add(ttl)
	return Inbox{}, nil
}

// at is an instant of a clock of synctest's.
func at(d time.Duration) clock.Instant { return clock.Instant(d) }

// bubble is a clock of synctest's; ahead is how far it runs before the runtime's
// timers, as after a suspend.
func bubble() (c bootClock, suspend func(time.Duration)) {
	start, ahead, woken := time.Now(), time.Duration(0), make(chan struct{})
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
	return bootClock{now, sleep}, func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		ahead += d
		close(woken)
		woken = make(chan struct{})
	}
}

func TestKeepGivesUp(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(e *expiring, suspend func(time.Duration))
		lost clock.Instant // when it is given up; 0: not at all
	}{
		{"all is well", func(*expiring, func(time.Duration)) {}, 0},
		{"a short outage", func(e *expiring, _ func(time.Duration)) {
			e.set(true, false)
			time.Sleep(12 * time.Second)
			e.set(false, false)
		}, 0},
		{"a long outage", func(e *expiring, _ func(time.Duration)) { e.set(true, false) }, at(26 * time.Second)},
		{"a dead connection", func(e *expiring, _ func(time.Duration)) { e.set(true, true) }, at(26 * time.Second)},
		{"a suspend, and nobody wanted it", func(_ *expiring, suspend func(time.Duration)) { suspend(time.Hour) }, 0},
		{"a suspend without a network afterwards", func(e *expiring, suspend func(time.Duration)) {
			e.set(true, true)
			suspend(time.Hour)
		}, at(time.Hour + 7*time.Second)},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				boot, suspend := bubble()
				e := &expiring{now: boot.now, ttl: 30 * time.Second, expires: at(30 * time.Second)}
				k := keep(e, Beats{Every: 5 * time.Second, Reserve: 8 * time.Second}, boot)
				defer k.Stop()
				var lost clock.Instant
				done := make(chan struct{})
				go func() {
					defer close(done)
					for end := time.After(2 * time.Minute); ; {
						select {
						case r := <-k.Renewals():
							var left *ExpiringError
							if errors.Is(r.Err, ErrLost) && lost == 0 {
								lost = boot.now()
								if !errors.As(r.Err, &left) || left.Left != e.Expires().Sub(lost) {
									t.Errorf("%v: want the time left of it", r.Err)
								}
							}
						case <-end:
							return
						}
					}
				}()
				time.Sleep(6 * time.Second) // one good renewal, at 5
				c.do(e, suspend)
				<-done
				if want := c.lost; want == 0 && lost != 0 || want != 0 && (lost < want || lost > want.Add(2*time.Second)) {
					t.Errorf("given up at %v, want %v (0: never)", lost, want)
				}
			})
		})
	}
}

// TestKeepThroughAnElection: a cluster that chooses another leader answers nobody for two
// seconds. That ends no lease of five, whenever it begins.
func TestKeepThroughAnElection(t *testing.T) {
	for begin := time.Duration(0); begin < 4*time.Second; begin += 90 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			boot, _ := bubble()
			ttl := 5 * time.Second
			e := &expiring{now: boot.now, ttl: ttl, expires: at(ttl)}
			k := keep(e, Beats{Every: ttl / 3, Reserve: ttl/10 + ttl/3}, boot)
			defer k.Stop()
			time.Sleep(begin)
			e.set(true, false)
			time.Sleep(2 * time.Second)
			e.set(false, false)
			for end := time.After(10 * time.Second); ; {
				select {
				case r := <-k.Renewals():
					if errors.Is(r.Err, ErrLost) {
						t.Errorf("begun %v after it was granted: %v", begin, r.Err)
					}
				case <-end:
					return
				}
			}
		})
	}
}

// TestKeepAtOnce: a Renew that took all of its time is followed by another at once.
func TestKeepAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boot, _ := bubble()
		e := &expiring{now: boot.now, ttl: 30 * time.Second, expires: at(30 * time.Second), fails: true, hangs: true}
		k := keep(e, Beats{Every: 5 * time.Second, Reserve: 8 * time.Second}, boot)
		defer k.Stop()
		time.Sleep(10*time.Second + time.Millisecond) // from 5 to 10 the first one hangs
		if n := e.renewals(); n != 2 {
			t.Errorf("renewed %d times, want a second time", n)
		}
	})
}

// TestKeepWhile: a lease that was renewed for longer while its owner was stopped is
// watched again afterwards, and one that came back is given up once more.
func TestKeepWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boot, _ := bubble()
		e := &expiring{now: boot.now, ttl: 30 * time.Second, expires: at(30 * time.Second)}
		k := keep(e, Beats{Every: 5 * time.Second, Reserve: 8 * time.Second}, boot)
		defer k.Stop()
		var lost atomic.Int32
		done := make(chan struct{})
		defer close(done)
		go func() {
			for {
				select {
				case r := <-k.Renewals():
					if errors.Is(r.Err, ErrLost) {
						lost.Add(1)
					}
				case <-done:
					return
				}
			}
		}()
		if err := k.While(time.Hour, func() {
			if left := e.Expires().Sub(boot.now()); left != time.Hour {
				t.Errorf("stopped with %v left, want an hour", left)
			}
			n := e.renewals()
			time.Sleep(10 * time.Minute)
			if m := e.renewals(); m != n {
				t.Errorf("renewed %d times while it was stopped", m-n)
			}
		}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if left := e.Expires().Sub(boot.now()); left > 30*time.Second {
			t.Errorf("%v left a second later: it was not renewed as usual", left)
		}
		for want := range int32(2) {
			e.set(true, false)
			time.Sleep(time.Minute)
			if lost.Load() != want+1 {
				t.Errorf("given up %d times, want %d", lost.Load(), want+1)
			}
			e.set(false, false)
			time.Sleep(time.Minute)
		}
	})
}
