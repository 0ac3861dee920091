//go:build unix

package filestore

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"berth/lease"
)

func request(limit, weight int) lease.Request {
	return lease.Request{ID: lease.NewID("p"), Pool: "p", Limit: limit, Weight: weight, Owner: lease.Process{PID: os.Getpid()}}
}

func takeSlot(t *testing.T, s *Store, r lease.Request) *holding {
	t.Helper()
	h, v, err := s.TryAcquire(t.Context(), r)
	if err != nil || h == nil {
		t.Fatalf("TryAcquire: %v, %v, %v", h, v, err)
	}
	return h.(*holding)
}

func giveBack(t *testing.T, h lease.Holding) {
	t.Helper()
	if err := h.Release(t.Context()); err != nil {
		t.Error(err)
	}
}

// Lock waits until it has the lock.
func (l *fileLock) Lock() error { return l.wait(unix.LOCK_EX) }
