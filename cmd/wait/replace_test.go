//go:build unix

package wait

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/memstore"
	"berth/limiter"
)

// busyPool is a store with jobs that hold one slot each of pool p.
func busyPool(t *testing.T, jobs int) (*memstore.Store, []lease.Holding) {
	s := &memstore.Store{}
	var held []lease.Holding
	for i := range jobs {
		h, v, err := s.TryAcquire(t.Context(), lease.Request{ID: lease.NewID("p"), Pool: "p", Limit: 9, Weight: 1})
		if h == nil || err != nil {
			t.Fatalf("job %d: %v, %v", i, v, err)
		}
		held = append(held, h)
	}
	return s, held
}

// TestReplace: jobs are ended one at a time, and no more of them than it takes.
func TestReplace(t *testing.T) {
	s, held := busyPool(t, 4)
	w, _ := newWaiter(t, s, lease.Request{ID: lease.NewID("p"), Pool: "p", Limit: 4, Weight: 2})
	var ending, ended atomic.Int32
	decided := make(chan bool, 100) // a verdict that it has to wait, before anything is done about it
	w.First = func() { decided <- true }
	w.Replace = func(ctx context.Context, v lease.Verdict) error {
		if v.Reason != lease.Full {
			t.Errorf("a job is to end because it is %v", v)
		}
		if ending.Add(1) > 1 {
			t.Error("two end at a time")
		}
		defer ending.Add(-1)
		for len(decided) > 0 {
			<-decided
		}
		// Others come and leave: the line tries again, and ends no other job for that.
		for range 2 {
			p, err := s.Line(ctx, lease.Request{ID: lease.NewID("p"), Pool: "p", Limit: 9, Weight: 1})
			if err != nil {
				return err
			}
			if err := p.Leave(ctx); err != nil {
				return err
			}
			<-decided
		}
		return held[ended.Add(1)-1].Release(ctx)
	}
	session, err := w.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close(t.Context())
	if n := ended.Load(); n != 2 {
		t.Errorf("%d jobs were ended, want 2", n)
	}
}

// TestReplaceIsRefused: the error says why no room was made, and it is a *limiter.BusyError. The
// place in the line is given up.
func TestReplaceIsRefused(t *testing.T) {
	s, _ := busyPool(t, 1)
	w, _ := newWaiter(t, s, lease.Request{ID: lease.NewID("p"), Pool: "p", Limit: 1, Weight: 1})
	w.Replace = func(context.Context, lease.Verdict) error { return errors.New("it is deaf") }
	_, err := w.Acquire(t.Context())
	if !errors.As(err, new(*limiter.BusyError)) || !strings.HasSuffix(err.Error(), "1 of 1 in use; it is deaf") {
		t.Errorf("%v", err)
	}
	if pools, _ := s.List(t.Context(), "p"); len(pools[0].Waiters) != 0 {
		t.Errorf("%d waiters are left", len(pools[0].Waiters))
	}
}

// TestReplaceInTurn: a request that is not the first in the line has no job end, however long it
// waits; one that is drained does not wait.
func TestReplaceInTurn(t *testing.T) {
	s, held := busyPool(t, 1)
	before, err := s.Line(t.Context(), lease.Request{ID: lease.NewID("p"), Pool: "p", Limit: 1, Weight: 1})
	if err != nil {
		t.Fatal(err)
	}
	w, _ := newWaiter(t, s, lease.Request{ID: lease.NewID("p"), Pool: "p", Limit: 1, Weight: 1})
	var left atomic.Bool
	w.Replace = func(ctx context.Context, _ lease.Verdict) error {
		if !left.Load() {
			t.Error("it was not its turn")
		}
		return held[0].Release(ctx)
	}
	w.Joined = func(context.Context, lease.Ticket) {
		go func() {
			time.Sleep(50 * time.Millisecond) // in which it could do wrong
			left.Store(true)
			_ = before.Leave(context.Background())
		}()
	}
	session, err := w.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	drained := 0
	if err := s.Set(t.Context(), "p", func(lease.Settings, error) (lease.Settings, error) { return lease.Settings{Limit: &drained}, nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Acquire(t.Context()); !errors.As(err, new(*limiter.BusyError)) {
		t.Errorf("drained: %v", err)
	}
}

// TestReplaceWithoutAnAnswer: a process that keeps the pool's lock does not keep a request
// waiting that has a time limit.
func TestReplaceWithoutAnAnswer(t *testing.T) {
	w, _ := newWaiter(t, &heldStore{}, lease.Request{Pool: "p", Weight: 1})
	w.AtMost = time.Millisecond
	w.Replace = func(context.Context, lease.Verdict) error {
		t.Error("a job was told to end")
		return nil
	}
	_, err := w.Acquire(t.Context())
	if !errors.As(err, new(*limiter.BusyError)) || !strings.Contains(err.Error(), "is held by pid 812") {
		t.Errorf("%v", err)
	}
}
