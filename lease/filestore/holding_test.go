//go:build unix

package filestore

import (
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"berth/lease"
)

// TestRenewAndRelease: at once, a heartbeat was written into the mark of the slot that was just
// free, which then counted as damaged for good. After a release, a renewal panicked.
func TestRenewAndRelease(t *testing.T) {
	s := newStore(t)
	for range 50 {
		h := takeSlot(t, s, request(1, 1))
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() {
				for {
					if _, err := h.Renew(t.Context(), 0); err != nil {
						if !errors.Is(err, lease.ErrLost) {
							t.Error(err)
						}
						return
					}
					_ = h.Lease()
				}
			})
		}
		if err := h.Running(t.Context(), lease.Process{PID: 1 << 22}); err != nil {
			t.Error(err)
		}
		for range 2 {
			all.Go(func() { giveBack(t, h) })
		}
		all.Wait()
		if err := h.Running(t.Context(), lease.Process{}); !errors.Is(err, lease.ErrLost) {
			t.Errorf("Running after the release: %v, want ErrLost", err)
		}
	}
}

// TestWhatWasReplaced: the heartbeat names it. A missing lock file is no loss: the slot
// stays locked, and counts.
func TestWhatWasReplaced(t *testing.T) {
	for _, name := range []string{"p", "p/slots", "p/slots/0", "p/lock", "p/line"} {
		s := newStore(t)
		h := takeSlot(t, s, request(1, 1))
		if err := os.Rename(s.path(name), s.path("away")); err != nil {
			t.Fatal(err)
		}
		for _, again := range []bool{false, true} {
			if again && name != "p/slots/0" {
				_, _ = s.List(t.Context(), "p")
				g, v, err := s.TryAcquire(t.Context(), request(1, 1)) // makes what is missing
				counted := name == "p/lock" || name == "p/line"
				if err != nil || (g == nil) != counted {
					t.Fatalf("without %s: %v, %+v, %v", name, g, v, err)
				}
				if g != nil {
					defer giveBack(t, g)
				}
			}
			_, err := h.Renew(t.Context(), 0)
			switch name {
			case "p/lock", "p/line":
				if err != nil {
					t.Errorf("without %s: %v", name, err)
				}
			default:
				if want := ": " + s.path(name) + " was removed or replaced"; !errors.Is(err, lease.ErrLost) || !strings.Contains(err.Error(), want) {
					t.Errorf("without %s: %v", name, err)
				}
			}
		}
		giveBack(t, h)
	}
}

// TestPoolWithoutItsLock: its job is listed and can be told to stop.
func TestPoolWithoutItsLock(t *testing.T) {
	for _, stop := range []bool{false, true} {
		s := newStore(t)
		h := takeSlot(t, s, request(2, 2))
		if err := os.Remove(s.path("p", "lock")); err != nil {
			t.Fatal(err)
		}
		if stop {
			m := lease.Message{Kind: lease.MessageStop, Stop: lease.Stop{Reason: "enough"}}
			if _, err := s.Tell(t.Context(), h.Lease().ID, m); err != nil {
				t.Error(err)
			}
			if in, err := h.Renew(t.Context(), 0); err != nil || in.Stop == nil {
				t.Errorf("%+v, %v: the stop is lost", in, err)
			}
		} else if found, err := s.List(t.Context(), "p"); err != nil || found[0].Used != 2 || len(found[0].Holders) != 1 {
			t.Errorf("%+v, %v", found, err)
		}
		if g, v, err := s.TryAcquire(t.Context(), request(2, 1)); g != nil || err != nil || v.Reason != lease.Full {
			t.Errorf("%v, %+v, %v: one too many", g, v, err)
		}
		giveBack(t, h)
		giveBack(t, takeSlot(t, s, request(2, 2)))
	}
}
