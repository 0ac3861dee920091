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
	s.o.Explain = 20 * time.Millisecond
	p, err := s.pool("p", true)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	asleep := func(*fileLock) error { time.Sleep(400 * time.Millisecond); return nil }
	busy := func(*fileLock) (bool, error) { return false, nil }
	told := func(e *lease.LockHeldError) error { return e }
	if _, err := p.lock(context.Background(), busy, asleep, told); err != nil {
		t.Errorf("nobody holds it, and it says: %v", err)
	}

	hog := p.keep.lock("lock")
	if err := hog.Lock(); err != nil {
		t.Fatal(err)
	}
	defer hog.Unlock()
	over := make(chan struct{})
	defer close(over)
	asleep = func(*fileLock) error { <-over; return errors.New("over") }
	var held *lease.LockHeldError
	if _, err := p.lock(context.Background(), busy, asleep, told); !errors.As(err, &held) || held.PID != os.Getpid() {
		t.Errorf("we hold it, and it says: %v", err)
	}
}

// TestLockThatChangesHands: among a thousand who want it, the one who has it was
// missed at each look. That was told as "held by a process that cannot be seen from
// here", too.
func TestLockThatChangesHands(t *testing.T) {
	s := newStore(t)
	s.o.Explain = 20 * time.Millisecond
	s.lockOwner = func(*os.File) int { return 0 }
	p, err := s.pool("p", true)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	hog := p.keep.lock("lock")
	if err := hog.Lock(); err != nil {
		t.Fatal(err)
	}
	defer hog.Unlock()
	busy := func(*fileLock) (bool, error) { return false, nil }
	over := make(chan struct{})
	defer close(over)
	asleep := func(*fileLock) error { <-over; return errors.New("over") }
	told := func(e *lease.LockHeldError) error { return e }
	var held *lease.LockHeldError

	// It stays with one, who cannot be seen.
	if _, err := p.lock(t.Context(), busy, asleep, told); !errors.As(err, &held) || held.Busy || held.PID != 0 {
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
	if _, err := p.lock(ctx, busy, asleep, told); !errors.As(err, &held) || !held.Busy {
		t.Errorf("it changes hands, and it says: %v", err)
	}
}

// TestReleaseWhileTheLockIsHeld: the slots are free all the same, so it is no
// failure of the release. It was told as "context deadline exceeded".
func TestReleaseWhileTheLockIsHeld(t *testing.T) {
	s := newStore(t)
	s.o.Timings.Release = 20 * time.Millisecond
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
	hog := p.keep.lock("lock")
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
