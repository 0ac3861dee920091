package storetest

import (
	"context"
	"testing"
	"time"

	"berth/lease"
)

// watching: a watcher is told of each change, also in a drained pool and in one that
// does not exist yet.
func watching(t *testing.T, s *suite) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	one, err := s.another.Watch(ctx, "p")
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.another.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	// A watcher lists whenever it is told of something, and only then.
	during := func(what string, there func(lease.Pool) bool, change func() error) {
		t.Helper()
		s.settled(one, all)
		done := make(chan error, 1)
		go func() { done <- change() }()
		for _, changed := range []<-chan struct{}{one, all} {
			for seen := false; !seen; seen = there(s.mustList("p")) {
				s.waitsFor(changed, what)
			}
		}
		if err := <-done; err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	var h lease.Holding
	var p lease.Place
	during("that a slot was taken", func(v lease.Pool) bool { return v.Used == 1 }, func() (err error) {
		h, _, err = s.TryAcquire(s.ctx, Request("p", 1))
		return err
	})
	during("that a waiter came", func(v lease.Pool) bool { return len(v.Waiters) == 1 }, func() (err error) {
		p, err = s.Line(s.ctx, Request("p", 1))
		return err
	})
	zero := 0
	during("of a setting", func(v lease.Pool) bool { return v.Own.Limit != nil }, func() error { return s.setLimit("p", &zero) })
	during("that the pool is idle, though it is drained", func(v lease.Pool) bool { return v.Used == 0 }, func() error { return h.Release(s.ctx) })
	during("that a waiter left", func(v lease.Pool) bool { return len(v.Waiters) == 0 }, func() error { return p.Leave(s.ctx) })
	during("that the setting has gone", func(v lease.Pool) bool { return v.Own.Limit == nil }, func() error { return s.setLimit("p", nil) })
	empty(t, s, "p")
	cancel()
	for range one { // it is closed
	}
	for range all {
	}
}

// waitsFor waits until a watch sends.
func (s *suite) waitsFor(changed <-chan struct{}, what string) {
	s.Helper()
	select {
	case _, open := <-changed:
		if !open {
			s.Fatalf("the watch has ended; want to be told %s", what)
		}
	case <-s.ctx.Done():
		s.Fatalf("was not told %s", what)
	}
}

// settled reads what is left of an earlier change. What it misses only has the watcher read once
// more than it needs to.
func (s *suite) settled(watches ...<-chan struct{}) {
	for _, w := range watches {
		for quiet := false; !quiet; {
			select {
			case <-w:
			case <-time.After(5 * time.Millisecond):
				quiet = true
			}
		}
	}
}

// watchingKept: an adopted lease that is given back frees its slot at the second step.
func watchingKept(t *testing.T, s *suite) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	changed, err := s.another.Watch(ctx, "p")
	if err != nil {
		t.Fatal(err)
	}
	h := s.take(keptRequest())
	a := s.adopt(h.Lease().ID, 1)
	done := make(chan error, 1)
	go func() {
		err := a.Release(s.ctx)
		if err == nil {
			err = h.Release(s.ctx)
		}
		done <- err
	}()
	for s.mustList("p").Used > 0 {
		s.waitsFor(changed, "that the pool is idle")
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func badWatch(t *testing.T, s *suite) {
	for _, name := range []string{"", "..", "a/b"} {
		if _, err := s.Watch(s.ctx, name); err == nil {
			t.Errorf("Watch of pool %q: no error", name)
		}
	}
}
