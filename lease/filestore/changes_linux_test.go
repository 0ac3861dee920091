package filestore

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// until waits for so many messages of a watch, and fails when they do not come.
func until(t *testing.T, changed <-chan struct{}, messages int) {
	t.Helper()
	for range messages {
		select {
		case _, open := <-changed:
			if !open {
				t.Fatal("the watch has ended")
			}
		case <-time.After(20 * time.Second):
			t.Fatal("the watch says nothing")
		}
	}
}

// TestWatchWithoutEvents: where no inotify instance can be had, a watch sends at intervals. A store
// that does not exist yet has no directory to be watched.
func TestWatchWithoutEvents(t *testing.T) {
	s := newStore(t)
	s.opts.FullCheck = time.Millisecond
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	w := &changes{s: s}
	events := w.events(t.Context())
	changed, err := s.Watch(t.Context(), "p")
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if events != nil || err != nil {
		t.Fatalf("%v, %v; want no events and no error", events, err)
	}
	until(t, changed, 3)

	none, err := Open(filepath.Join(t.TempDir(), "none"), Options{Timings: Timings{FullCheck: time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	if changed, err = none.Watch(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, changed, 3)
}

// TestWatchOfHeartbeats: a job that goes on changes nothing, and those who watch are not woken.
func TestWatchOfHeartbeats(t *testing.T) {
	s := eventsOnly(t)
	h := takeSlot(t, s, request(1, 1))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	changed, err := s.Watch(ctx, "p")
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := h.Renew(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if _, err := s.List(t.Context(), "p"); err != nil {
			t.Fatal(err)
		}
	}
	// An event would have been there before the end of the write that caused it.
	time.Sleep(2 * settleTime)
	select {
	case <-changed:
		t.Error("a heartbeat or a list wakes those who watch")
	default:
	}
	giveBack(t, h)
	until(t, changed, 1)
	cancel()
	for range changed { // it is closed
	}
	if _, err := s.Watch(t.Context(), "a/b"); err == nil {
		t.Error("a watch of a pool with a bad name")
	}
}
