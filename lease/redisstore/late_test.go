package redisstore_test

import (
	"context"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/redisstore"
)

// The network keeps a step of whoever has left by the time that it is delivered: while it
// could still be done, or long after. It takes nothing.
func TestLateStepTakesNothing(t *testing.T) {
	t.Parallel()
	for name, patience := range map[string]time.Duration{"InTime": deadline, "TooLate": 200 * time.Millisecond} {
		for step, leave := range map[string]func(t *testing.T, s lease.Store, p *proxy){
			"Try": func(t *testing.T, s lease.Store, p *proxy) {
				ctx, cancel := context.WithCancel(t.Context())
				p.keep(true)
				time.AfterFunc(500*time.Millisecond, func() {
					p.keep(false) // the undoing gets through
					cancel()
				})
				if h, _, err := s.TryAcquire(ctx, job(1, longTTL)); h != nil || err == nil {
					t.Errorf("%v, %v; want no answer", h, err)
				}
			},
			"Turn": func(t *testing.T, s lease.Store, p *proxy) {
				place := line(t, s, job(1, longTTL))
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				p.keep(true)
				if h, _, err := place.TryAcquire(ctx, lease.Asked{}); h != nil || err == nil {
					t.Errorf("%v, %v; want no answer", h, err)
				}
				p.keep(false)
				if err := place.Leave(within(t)); err != nil {
					t.Error(err)
				}
			},
			"Aside": func(t *testing.T, s lease.Store, p *proxy) {
				place := line(t, s, job(1, longTTL))
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				p.keep(true)
				if err := place.Return(ctx); err == nil {
					t.Error("want no answer")
				}
				p.keep(false)
				if err := place.Leave(within(t)); err != nil {
					t.Error(err)
				}
			},
		} {
			t.Run(step+name, func(t *testing.T) {
				t.Parallel()
				server := known(t)
				p, look := newProxy(t, server.Addr), open(t, server, "")
				s := openAt(t, p.addr, nil, redisstore.Timings{Call: patience})
				release(t, try(t, s, job(1, longTTL))) // the script is known, and the server's clock
				leave(t, s, p)
				if name == "TooLate" {
					time.Sleep(patience) // however long, the step is late
				}
				p.deliver(t)
				empty(t, look)
			})
		}
	}
}

// What undoes a try may come after the same request was given its slots in the line.
func TestLateUndoTakesNothingBack(t *testing.T) {
	t.Parallel()
	server := known(t)
	p, look := newProxy(t, server.Addr), open(t, server, "")
	s := openAt(t, p.addr, nil, redisstore.Timings{Call: 300 * time.Millisecond})
	release(t, try(t, s, job(1, longTTL)))
	r := job(1, longTTL)
	p.replies(func() fate { // its answer is lost, and then it is undone
		if p.hold {
			return pass
		}
		p.hold = true
		return cut
	})
	if h, _, err := s.TryAcquire(within(t), r); h != nil || err == nil {
		t.Fatalf("%v, %v; want no answer", h, err)
	}
	p.replies(nil)
	p.keep(false)
	h := get(t, line(t, s, r))
	p.deliver(t)
	if got := pool(t, look); !holds(got, h) {
		t.Errorf("%+v; want %s in it", got, r.ID)
	}
	release(t, h)
	empty(t, look)
}

// Whoever has tried, and had no answer in its time, may line up with the same request.
func TestLineAfterATryInVain(t *testing.T) {
	t.Parallel()
	server := known(t)
	p, look := newProxy(t, server.Addr), open(t, server, "")
	s := openAt(t, p.addr, nil, redisstore.Timings{})
	release(t, try(t, s, job(1, longTTL)))
	p.keep(true)
	r := job(1, longTTL)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	time.AfterFunc(400*time.Millisecond, func() { p.keep(false) }) // the undoing gets through
	if h, _, err := s.TryAcquire(ctx, r); h != nil || err == nil {
		t.Fatalf("%v, %v; want no answer", h, err)
	}
	release(t, get(t, line(t, s, r)))
	empty(t, look)
}

// The server's clock is not ours: the first steps come too late by it, and are done.
func TestClocksAreApart(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{time.Hour, -time.Hour} {
		server, set := stepped(t)
		set(off)
		s := openAt(t, server.Addr, nil, redisstore.Timings{})
		h := get(t, line(t, s, job(1, shortTTL)))
		set(2 * off)
		other := get(t, line(t, s, job(2, shortTTL)))
		release(t, h)
		release(t, other)
		empty(t, s)
	}
}
