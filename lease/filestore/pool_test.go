//go:build linux

package filestore

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"berth/lease"
)

// TestLockOfNobodyIsNotStuck: on a busy machine the lock is free at every look,
// because whoever is next has not woken up. That was told as "held by a process
// that cannot be seen from here".
func TestLockOfNobodyIsNotStuck(t *testing.T) {
	s := newStore(t)
	s.opts.Explain = 20 * time.Millisecond
	p, err := s.pool("p", true)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	acquired := make(chan error)
	time.AfterFunc(400*time.Millisecond, func() { close(acquired) })
	told := func(e *lease.LockHeldError) error { return e }
	if err := p.awaitLock(t.Context(), acquired, told); err != nil {
		t.Errorf("nobody holds it, and it says: %v", err)
	}

	hog := p.top.lock("lock")
	if err := hog.Lock(); err != nil {
		t.Fatal(err)
	}
	defer hog.Unlock()
	var held *lease.LockHeldError
	if err := p.awaitLock(t.Context(), make(chan error), told); !errors.As(err, &held) || held.PID != os.Getpid() {
		t.Errorf("we hold it, and it says: %v", err)
	}
}

// TestLockThatChangesHands: among a thousand who want it, the one who has it was
// missed at each look. That was told as "held by a process that cannot be seen from
// here", too.
func TestLockThatChangesHands(t *testing.T) {
	s := newStore(t)
	s.opts.Explain = 20 * time.Millisecond
	s.lockOwner = func(*os.File) int { return 0 }
	p, err := s.pool("p", true)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	hog := p.top.lock("lock")
	if err := hog.Lock(); err != nil {
		t.Fatal(err)
	}
	defer hog.Unlock()
	told := func(e *lease.LockHeldError) error { return e }
	var held *lease.LockHeldError

	// It stays with one, who cannot be seen.
	if err := p.awaitLock(t.Context(), make(chan error), told); !errors.As(err, &held) || held.Busy || held.PID != 0 {
		t.Errorf("somebody has it, and it says: %v", err)
	}

	// Each who has it changes the index.
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	s.lockOwner = func(f *os.File) int {
		ix, err := loadIndex(f)
		if err != nil {
			ix = &index{file: f}
		}
		ix.ticket++
		if err := ix.save(); err != nil {
			t.Error(err)
		}
		return 0
	}
	if err := p.awaitLock(ctx, make(chan error), told); !errors.As(err, &held) || !held.Busy {
		t.Errorf("it changes hands, and it says: %v", err)
	}
}

// TestReleaseWhileTheLockIsHeld: the slots are free all the same, so it is no
// failure of the release. It was told as "context deadline exceeded".
func TestReleaseWhileTheLockIsHeld(t *testing.T) {
	s := newStore(t)
	s.opts.Timings.Release = 20 * time.Millisecond
	ctx := context.Background()
	r := lease.Request{ID: lease.NewID("p"), Pool: "p", Limit: 1, Weight: 1, Owner: lease.Process{PID: os.Getpid()}}
	h, _, err := s.TryAcquire(ctx, r)
	if err != nil || h == nil {
		t.Fatalf("TryAcquire = %v, %v", h, err)
	}
	p, err := s.pool("p", false)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	hog := p.top.lock("lock")
	if err := hog.Lock(); err != nil {
		t.Fatal(err)
	}
	if err := h.Release(ctx); err != nil {
		t.Errorf("Release: %v", err)
	}
	hog.Unlock()
	r.ID = lease.NewID("p")
	h, v, err := s.TryAcquire(ctx, r)
	if err != nil || h == nil {
		t.Fatalf("TryAcquire = %v, %v, %v; want the slot", h, v, err)
	}
	if err := h.Release(ctx); err != nil {
		t.Error(err)
	}
}

// TestUnusedWhileTheLockIsHeld: nor does who holds it keep the slots of a lease in which
// nothing was started.
func TestUnusedWhileTheLockIsHeld(t *testing.T) {
	s := eventsOnly(t)
	s.opts.Release = never
	r := request(1, 1)
	r.Ramp = never
	h := takeSlot(t, s, r)
	p, err := s.pool("p", false)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	hog := p.top.lock("lock")
	if err := hog.Lock(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- h.Unused(t.Context()) }()
	for end := time.Now().Add(20 * time.Second); p.checkSlot(0).locked; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Error("the slot stays taken while somebody holds the pool's lock")
			break
		}
	}
	hog.Unlock()
	if err := <-done; err != nil {
		t.Error(err)
	}
	g := takeSlot(t, s, r) // its start counts for nobody

	// A head that has seen it counted looks again.
	line := r
	line.ID = lease.NewID("p")
	first := headOf(t, s, line)
	err = g.freeSlots()
	for i := 0; err == nil && (i == 0 || first.head.phase(&s.opts.Timings) != watching); i++ {
		if f, v, err := first.TryAcquire(t.Context(), lease.Clearance{}); f != nil || err != nil || i > 0 && v.Reason != lease.Paced {
			t.Fatalf("%v, %+v, %v", f, v, err)
		}
		ctx, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
		_ = first.Wait(ctx)
		stop()
	}
	if err == nil {
		err = g.pool.locked(t.Context(), g.takeBack)
	}
	if err != nil {
		t.Fatal(err)
	}
	granted(t, first)
}
