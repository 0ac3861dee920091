//go:build unix

package cmd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"berth/cmd/open"
	"berth/cmd/tty"
	"berth/cmd/words"
	"berth/lease"
	"berth/lease/clock"
	"berth/limiter"
)

// heldStore is a store whose pool's lock somebody keeps. It counts who asks for it.
type heldStore struct {
	lease.Store
	asked []string
}

func (s *heldStore) wait(ctx context.Context, what string) error {
	s.asked = append(s.asked, what)
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

// TestNotWaitingForTheLock: who does not wait asks once, and says who has the lock. (It
// asked four times, and took 2.5 s.)
func TestNotWaitingForTheLock(t *testing.T) {
	for _, key := range []string{"", "k"} {
		s := &heldStore{}
		r := &runner{
			spec:    &words.Run{Request: lease.Request{Pool: "p", Weight: 1, Key: key}, Quiet: true},
			say:     &speaker{out: &sink{}, quiet: true},
			store:   open.Guarded(s),
			signals: tty.NewSignals(), caught: make(chan struct{}),
		}
		go r.catchDrastic()
		_, err := r.acquire()
		r.signals.Close()
		var busy *limiter.BusyError
		if !errors.As(err, &busy) || code(err) != codeBusy || !strings.Contains(err.Error(), "is held by pid 812, which is stopped") {
			t.Errorf("key %q: %v", key, err)
		}
		if len(s.asked) != 1 {
			t.Errorf("key %q: asked for the lock as %v, want once", key, s.asked)
		}
		var said *busyError
		if !errors.As(err, &said) || said.hint() != "kill -CONT 812" {
			t.Errorf("key %q: no hint who is to go on", key)
		}
	}
}

// silentStore is full, and whoever asks who is in the way gets no answer.
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

// TestNobodyWaitsForAnExplanation: a TERM is heard while the store is asked what an
// error could tell besides, and berth dies of it. (It ended with 75, and after Ctrl-C a
// shell went on with its loop.)
func TestNobodyWaitsForAnExplanation(t *testing.T) {
	s := &silentStore{until: make(chan struct{})}
	defer close(s.until)
	r := &runner{
		spec:    &words.Run{Request: lease.Request{Pool: "p", Weight: 1}, Quiet: true},
		say:     &speaker{out: &sink{}, quiet: true},
		store:   open.Guarded(s),
		signals: tty.NewSignals(), caught: make(chan struct{}),
	}
	go r.catchDrastic()
	r.signals.Requeue(tty.WINCH)
	r.signals.Requeue(syscall.SIGTERM)
	var busy *limiter.BusyError
	if _, err := r.acquire(); errors.As(err, &busy) || outcomeOf(err).Signal != syscall.SIGTERM {
		t.Errorf("%v, want to die of TERM", err)
	}
	r.signals.Close()
}

// TestWaitingReadsBeside: who hears grants and signals does not wait for the pool to
// be read for the line.
func TestWaitingReadsBeside(t *testing.T) {
	s := &silentStore{until: make(chan struct{})}
	r := &runner{spec: &words.Run{Request: lease.Request{Pool: "p"}, Quiet: true}, store: open.Guarded(s)}
	w := newWaiting(r)
	w.look()
	close(s.until)
	if now := <-w.read; now.err == nil {
		t.Errorf("read %v", now.pool)
	}
}

// granted counts how often it was given back as unused.
type granted struct {
	lease.Holding
	unused int
}

func (g *granted) Lease() lease.Lease     { return lease.Lease{} }
func (g *granted) Expires() clock.Instant { return 0 }

func (g *granted) Unused(context.Context) error {
	g.unused++
	return nil
}

// TestSignalAtTheGrant: a slot that a signal has met on its way is given back as one in
// which nothing was started, and so does not count for the pool's rate.
func TestSignalAtTheGrant(t *testing.T) {
	g := &granted{}
	l := &inLine{r: &runner{}, signal: tty.SignalError{Signal: syscall.SIGTERM}}
	if h, err := l.over(outcome{h: limiter.NewSession(g)}); h != nil || outcomeOf(err).Signal != syscall.SIGTERM {
		t.Errorf("got %v, %v; want to die of TERM", h, err)
	}
	if g.unused != 1 {
		t.Errorf("given back as unused %d times, want once", g.unused)
	}
}
