package redisstore_test

import (
	"context"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/redisstore"
	"berth/lease/storetest/engine"
)

// quit ends a connection when all before it is done.
const quit = "*1\r\n$4\r\nQUIT\r\n"

// The network delivers a step after its caller has left: while it could still be done,
// because its connection was cut, or long after. It takes nothing.
func TestLateStepTakesNothing(t *testing.T) {
	t.Parallel()
	turn := func(ctx context.Context, _ lease.Store, p lease.Place) error {
		_, _, err := p.TryAcquire(ctx, lease.Clearance{})
		return err
	}
	again := func(ctx context.Context, _ lease.Store, p lease.Place) error { return p.Return(ctx) }
	try := func(ctx context.Context, s lease.Store, p lease.Place) error {
		_, _, err := s.TryAcquire(ctx, p.Ticket().Request)
		return err
	}
	for name, c := range map[string]struct {
		take func(context.Context, lease.Store, lease.Place) error
		gone engine.Fate
	}{
		"TurnInTime": {turn, engine.Cut}, "TurnTooLate": {turn, engine.Swallow}, "ReturnInTime": {again, engine.Cut}, "ReturnTooLate": {again, engine.Swallow},
		"TryTooLate": {try, engine.Swallow},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := known(t)
			p, look := engine.NewProxy(t, server.Addr), open(t, server, "")
			timings := redisstore.Timings{Call: deadline}
			if c.gone == engine.Swallow {
				timings.Call = 200 * time.Millisecond
			}
			s := openAt(t, p.Addr, nil, timings)
			place := line(t, s, job(1, longTTL)) // the script is known, and the server's clock
			ctx, cancel := context.WithCancel(t.Context())
			p.HoldBack("evalsha", c.gone)
			time.AfterFunc(500*time.Millisecond, cancel)
			if err := c.take(ctx, s, place); err == nil {
				t.Error("want no answer")
			}
			<-ctx.Done()
			p.LetThrough()
			if err := place.Leave(within(t)); err != nil {
				t.Error(err)
			}
			if name == "TryTooLate" {
				p.KeepFirst() // its undoing is lost for good
			}
			p.Deliver(t, quit)
			empty(t, look)
		})
	}
}

// What undoes a try may arrive after the same request was granted its slots in the line.
func TestLateUndoTakesNothingBack(t *testing.T) {
	t.Parallel()
	server := known(t)
	p, look := engine.NewProxy(t, server.Addr), open(t, server, "")
	s := openAt(t, p.Addr, nil, redisstore.Timings{Call: time.Second})
	release(t, try(t, s, job(1, longTTL)))
	r := job(1, longTTL)
	lost := false
	p.Replies(func() engine.Fate { // its answer is lost, and then it is undone
		if lost {
			return engine.Pass
		}
		lost = true
		p.HoldBack("evalsha", engine.Swallow)
		return engine.Cut
	})
	if h, _, err := s.TryAcquire(within(t), r); h != nil || err == nil {
		t.Fatalf("%v, %v; want no answer", h, err)
	}
	p.Replies(nil)
	p.LetThrough()
	h := get(t, line(t, s, r))
	p.Deliver(t, quit)
	if got := pool(t, look); !holds(got, h) {
		t.Errorf("%+v; want %s in it", got, r.ID)
	}
	release(t, h)
	empty(t, look)
}

// After a try without an answer the same request may line up.
func TestLineAfterATryInVain(t *testing.T) {
	t.Parallel()
	server := known(t)
	p, look := engine.NewProxy(t, server.Addr), open(t, server, "")
	s := openAt(t, p.Addr, nil, redisstore.Timings{})
	release(t, try(t, s, job(1, longTTL)))
	p.HoldBack("evalsha", engine.Swallow)
	r := job(1, longTTL)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	time.AfterFunc(400*time.Millisecond, func() { p.LetThrough() }) // the undoing gets through
	if h, _, err := s.TryAcquire(ctx, r); h != nil || err == nil {
		t.Fatalf("%v, %v; want no answer", h, err)
	}
	release(t, get(t, line(t, s, r)))
	empty(t, look)
}

// A delayed try arrives when the same request stands in the line, or has been granted its
// slots there.
func TestLateTryOfAWaiter(t *testing.T) {
	t.Parallel()
	for _, holds := range []bool{false, true} {
		server := known(t)
		p, look := engine.NewProxy(t, server.Addr), open(t, server, "")
		s := openAt(t, p.Addr, nil, redisstore.Timings{Call: deadline})
		release(t, try(t, s, job(2, longTTL)))
		p.HoldBack("evalsha", engine.Cut)
		r := job(2, longTTL)
		if h, _, err := s.TryAcquire(within(t), r); h != nil || err == nil {
			t.Fatalf("%v, %v; want no answer", h, err)
		}
		p.LetThrough()
		p.KeepFirst() // its undoing is lost
		place := line(t, s, r)
		if holds { // so that it comes first by its priority
			other := job(2, longTTL)
			other.Priority = 20
			line(t, look, other)
		}
		p.Deliver(t, quit)
		h := get(t, place)
		if off := sumsOff(t, client(t, server), "p"); off != "" {
			t.Error(off)
		}
		release(t, h)
		for _, w := range pool(t, look).Waiters {
			if w.Ticket.ID == r.ID {
				t.Error("it still stands in the line")
			}
		}
	}
}

// The server's clock differs from ours: by it the first steps are late, and they are done.
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
