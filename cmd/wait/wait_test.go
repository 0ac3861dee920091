//go:build unix

package wait

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/cmd/tty"
	"berth/lease"
	"berth/lease/clock"
	"berth/limiter"
)

// heldStore is a store whose pool's lock a process keeps. It notes each attempt.
type heldStore struct {
	lease.Store
	tried []string
}

func (s *heldStore) wait(ctx context.Context, what string) error {
	s.tried = append(s.tried, what)
	<-ctx.Done()
	return fmt.Errorf("%w: %w", context.Cause(ctx), &lease.LockHeldError{Pool: "p", Path: "p/lock", PID: 812, Frozen: true})
}

func (s *heldStore) TryAcquire(ctx context.Context, _ lease.Request) (lease.Holding, lease.Verdict, error) {
	return nil, lease.Verdict{}, s.wait(ctx, "try")
}

func (s *heldStore) Line(ctx context.Context, _ lease.Request) (lease.Place, error) {
	return nil, s.wait(ctx, "line")
}

func (s *heldStore) Summary(ctx context.Context, _ string, _ lease.Ticket) (lease.Pool, error) {
	return lease.Pool{}, s.wait(ctx, "summary")
}

func (s *heldStore) Clock() clock.Instant { return clock.Now() }

// newWaiter hears the signals that are queued with the function.
func newWaiter(t *testing.T, s lease.Store, q lease.Request) (w *Waiter, send func(...syscall.Signal)) {
	t.Helper()
	w = &Waiter{Store: s, Request: q, Signals: tty.NewSignals(), SuspendIf: func(func() bool) { t.Error("suspended") }}
	w.Signals.Start(nil, nil, nil)
	t.Cleanup(func() { w.Signals.Close() })
	return w, func(sigs ...syscall.Signal) {
		for _, sig := range sigs {
			w.Signals.Requeue(sig)
		}
	}
}

// TestNotWaitingForTheLock: a request that does not wait tries once, and says who has the
// lock. (It tried four times, and took 2.5 s.)
func TestNotWaitingForTheLock(t *testing.T) {
	for _, key := range []string{"", "k"} {
		s := &heldStore{}
		w, _ := newWaiter(t, s, lease.Request{Pool: "p", Weight: 1, Key: key})
		_, err := w.Acquire(context.Background())
		if !errors.As(err, new(*limiter.BusyError)) || !strings.Contains(err.Error(), "is held by pid 812, which is stopped") {
			t.Errorf("key %q: %v", key, err)
		}
		if len(s.tried) != 1 {
			t.Errorf("key %q: tried to get the lock for %v, want once", key, s.tried)
		}
		if busy := (*BusyError)(nil); !errors.As(err, &busy) || !errors.As(busy.Err, new(*lease.LockHeldError)) {
			t.Errorf("key %q: %v does not name the process that holds the lock", key, err)
		}
	}
}

// silentStore is full, and Summary does not answer before until is closed.
type silentStore struct {
	heldStore
	until chan struct{}
}

func (s *silentStore) TryAcquire(context.Context, lease.Request) (lease.Holding, lease.Verdict, error) {
	return nil, lease.Verdict{Reason: lease.Full, Limit: 1, Used: 1}, nil
}

func (s *silentStore) Summary(context.Context, string, lease.Ticket) (lease.Pool, error) {
	<-s.until
	return lease.Pool{}, errors.New("too late")
}

// TestNobodyWaitsForAnExplanation: a TERM is heard while the pool is read to explain an
// error. (It ended with 75, and after Ctrl-C a shell went on with its
// loop.)
func TestNobodyWaitsForAnExplanation(t *testing.T) {
	s := &silentStore{until: make(chan struct{})}
	defer close(s.until)
	w, send := newWaiter(t, s, lease.Request{Pool: "p", Weight: 1})
	send(tty.WINCH, syscall.SIGTERM)
	_, err := w.Acquire(context.Background())
	if sig := (tty.SignalError{}); errors.As(err, new(*limiter.BusyError)) || !errors.As(err, &sig) || sig.Signal != syscall.SIGTERM {
		t.Errorf("%v, want TERM", err)
	}
}

// TestAwait: what comes first, the end of what is waited for, a signal, or its time.
func TestAwait(t *testing.T) {
	failure := errors.New("failure")
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []struct {
		name     string
		ctx      context.Context
		m        waitingFor
		signals  []syscall.Signal
		f        func(ctx context.Context, stuck chan int) (int, error)
		v        int
		want     string
		suspends int
	}{
		{"returns", context.Background(), waitingFor{}, nil, func(context.Context, chan int) (int, error) { return 1, nil }, 1, "<nil>", 0},
		{"fails", context.Background(), waitingFor{}, nil, func(context.Context, chan int) (int, error) { return 0, failure }, 0, "failure", 0},
		{"is left at a signal", context.Background(), waitingFor{}, []syscall.Signal{syscall.SIGTERM}, func(_ context.Context, stuck chan int) (int, error) { return <-stuck, nil }, 0, "terminated", 0},
		{"is left in time", over, waitingFor{}, nil, func(_ context.Context, stuck chan int) (int, error) { return <-stuck, nil }, 0, errLeft.Error(), 0},
		{"returns in time", over, waitingFor{returns: true}, nil, func(ctx context.Context, _ chan int) (int, error) { <-ctx.Done(); return 0, failure }, 0, "failure", 0},
		{"is ended by a signal", context.Background(), waitingFor{returns: true, afterSignal: -1}, []syscall.Signal{syscall.SIGINT}, func(ctx context.Context, _ chan int) (int, error) { <-ctx.Done(); return 0, context.Cause(ctx) }, 0, "interrupt", 0},
		{"returns a value after a signal", context.Background(), waitingFor{returns: true, afterSignal: -1}, []syscall.Signal{syscall.SIGINT}, func(ctx context.Context, _ chan int) (int, error) { <-ctx.Done(); return 3, nil }, 3, "interrupt", 0},
		{"is given up after a signal", context.Background(), waitingFor{returns: true, afterSignal: 1}, []syscall.Signal{syscall.SIGINT}, func(_ context.Context, stuck chan int) (int, error) { return <-stuck, nil }, 0, "interrupt", 0},
		{"is suspended", context.Background(), waitingFor{}, []syscall.Signal{tty.TSTP}, nil, 7, "<nil>", 1},
	} {
		w, send := newWaiter(t, nil, lease.Request{})
		suspends := make(chan bool, 9)
		w.SuspendIf = func(wanted func() bool) {
			if wanted() {
				suspends <- true
			}
		}
		stuck := make(chan int)
		send(c.signals...)
		if c.f == nil {
			c.f = func(context.Context, chan int) (int, error) { <-suspends; suspends <- true; return 7, nil }
		}
		v, err := await(c.ctx, w, c.m, func(ctx context.Context) (int, error) { return c.f(ctx, stuck) })
		close(stuck)
		if v != c.v || fmt.Sprint(errText(err)) != c.want || len(suspends) != c.suspends {
			t.Errorf("%s: got %d, %v, suspended %d times; want %d, %s, %d times", c.name, v, err, len(suspends), c.v, c.want, c.suspends)
		}
	}
}

// TestSuspendBesideACall: while Ctrl-Z waits for a call to the store, a CONT cancels it and a
// TERM ends the wait. (Both were heard only after the call, and the process stayed suspended
// after its CONT.)
func TestSuspendBesideACall(t *testing.T) {
	for _, end := range []syscall.Signal{tty.CONT, syscall.SIGTERM} {
		w, send := newWaiter(t, nil, lease.Request{})
		waits, call, heard := make(chan bool), make(chan bool), make(chan bool, 1)
		suspended := make(chan bool, 1)
		w.SuspendIf = func(wanted func() bool) {
			waits <- true
			<-call
			suspended <- wanted()
		}
		send(tty.TSTP)
		go func() {
			<-waits
			send(end)
			<-heard
			close(call)
		}()
		_, err := await(context.Background(), w, waitingFor{returns: true, afterSignal: -1, resumed: func() { heard <- true }},
			func(ctx context.Context) (int, error) {
				select {
				case <-ctx.Done():
					heard <- true
				case <-call:
				}
				return 0, nil
			})
		if want := map[syscall.Signal]string{tty.CONT: "<nil>", syscall.SIGTERM: "terminated"}[end]; errText(err) != want {
			t.Errorf("%v: got %v, want %s", end, err, want)
		}
		if <-suspended {
			t.Errorf("%v came during the call, and the process was suspended after it", end)
		}
	}
}

// TestTooLateToSuspend: a Ctrl-Z that was not followed before the end of a wait is delivered
// again, to the next loop that hears signals.
func TestTooLateToSuspend(t *testing.T) {
	w, send := newWaiter(t, nil, lease.Request{})
	heard := make(chan bool)
	send(tty.TSTP)
	m := waitingFor{returns: true, stepAside: func() { close(heard) }}
	if _, err := await(context.Background(), w, m, func(context.Context) (int, error) { <-heard; return 0, nil }); err != nil {
		t.Fatal(err)
	}
	if sig := <-w.Signals.Next(); sig != tty.TSTP || w.requested() {
		t.Errorf("got %v, and requested is %t; want TSTP once more, and nothing left to follow", sig, w.requested())
	}
}

func errText(err error) string {
	if err == nil {
		return "<nil>"
	}
	return err.Error()
}

// TestDisplayReadsBeside: nothing waits for the pool to be read for a person, and nothing
// is shown after the end.
func TestDisplayReadsBeside(t *testing.T) {
	until, began := make(chan struct{}), make(chan struct{})
	p := &Progress{
		Text: func(*lease.Pool, error, time.Duration) string { return "" },
		Show: func(string) { t.Error("shown after the end") },
	}
	d := p.begin(func(lease.Ticket) (*lease.Pool, error) {
		close(began)
		<-until
		return nil, errors.New("too late")
	})
	read := make(chan struct{})
	go func() { d.refresh(); close(read) }()
	<-began
	d.joined(lease.Ticket{})
	d.end()
	close(until)
	<-read
}

// granted counts how often it was given back as unused.
type granted struct {
	lease.Holding
	unused int
}

func (g *granted) Unused(context.Context) error {
	g.unused++
	return nil
}

func (g *granted) Expires() clock.Instant { return 0 }
func (g *granted) Lease() lease.Lease     { return lease.Lease{} }

// lateStore grants a slot to a process that gets TERM at the same time.
type lateStore struct {
	heldStore
	g    granted
	term func()
}

func (s *lateStore) TryAcquire(context.Context, lease.Request) (lease.Holding, lease.Verdict, error) {
	return nil, lease.Verdict{Reason: lease.Full, Limit: 1, Used: 1}, nil
}

func (s *lateStore) Line(context.Context, lease.Request) (lease.Place, error) {
	return &latePlace{s: s}, nil
}

type latePlace struct {
	lease.Place
	s *lateStore
}

func (p *latePlace) Ticket() lease.Ticket       { return lease.Ticket{} }
func (p *latePlace) Wait(context.Context) error { return nil }

func (p *latePlace) TryAcquire(ctx context.Context, _ lease.Clearance) (lease.Holding, lease.Verdict, error) {
	p.s.term()
	<-ctx.Done()
	return &p.s.g, lease.Verdict{}, nil
}

// TestSignalAtTheGrant: a slot that a signal has met on its way is given back as one in
// which nothing was started, and so does not count for the pool's rate.
func TestSignalAtTheGrant(t *testing.T) {
	s := &lateStore{}
	w, send := newWaiter(t, s, lease.Request{Pool: "p", Weight: 1})
	w.AtMost = -1
	s.term = func() { send(syscall.SIGTERM) }
	session, err := w.Acquire(context.Background())
	if sig := (tty.SignalError{}); session != nil || !errors.As(err, &sig) || sig.Signal != syscall.SIGTERM {
		t.Errorf("got %v, %v; want TERM", session, err)
	}
	if s.g.unused != 1 {
		t.Errorf("given back as unused %d times, want once", s.g.unused)
	}
}
