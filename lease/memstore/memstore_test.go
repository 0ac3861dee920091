package memstore_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/clock"
	"berth/lease/memstore"
	"berth/lease/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Shape{
		Open:        func(*testing.T) lease.Store { return &memstore.Store{} },
		NoTTL:       "it has no clock, and no process that could be gone",
		NoLostReply: "a step is a call of a function",
		NoForget:    "its pools end with it",
	})
}

// TestClock: it tells the time of a store that was not used yet, and goes on from
// there while pools are made beside it.
func TestClock(t *testing.T) {
	s := &memstore.Store{}
	before := s.Clock()
	if before <= 0 || before > clock.Instant(24*time.Hour) {
		t.Errorf("the clock of a new store says %v", before)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, _, err := s.TryAcquire(context.Background(), storetest.Request("p", 1)); err != nil {
			t.Error(err)
		}
	})
	if now := s.Clock(); now < before {
		t.Errorf("%v after %v", now, before)
	}
	wg.Wait()
}
