//go:build linux

package filestore

import (
	"context"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/lease"
)

// TestOrphanIsFoundOnce: a berth was killed before it recorded its child, and the child has
// closed what it inherited. The head finds it at its first check, and does not read all of
// /proc again while it lives.
func TestOrphanIsFoundOnce(t *testing.T) {
	s := newStore(t)
	lives, asked := map[int]bool{7: true, 8: true}, 0
	s.opts.Alive = func(p lease.Process) bool { return lives[p.PID] }
	s.opts.Started = func(string) *lease.Process {
		asked++
		for _, pid := range []int{7, 8} {
			if lives[pid] {
				return &lease.Process{PID: pid}
			}
		}
		return nil
	}
	h := takeSlot(t, s, request(1, 1))
	for _, f := range h.files {
		unlock(f)
	}
	l, err := s.Line(t.Context(), request(1, 1))
	if err != nil {
		t.Fatal(err)
	}
	look := func(want int) (g lease.Holding) {
		t.Helper()
		for range 3 {
			l.(*place).head.scan.all = true
			var err error
			if g, _, err = l.TryAcquire(t.Context(), lease.Clearance{}); err != nil {
				t.Fatal(err)
			}
			if g != nil {
				break
			}
			_ = l.(*place).pool.silentEnds(l.(*place).head.scan.inUse[0])
		}
		if asked != want {
			t.Errorf("asked %d times for the process, want %d", asked, want)
		}
		return g
	}
	if g := look(1); g != nil {
		t.Fatal("started beside an orphan")
	}
	lives[7] = false // another one of that job lives
	if g := look(2); g != nil {
		t.Fatal("started beside the rest of an orphan")
	}
	lives[8] = false
	g := look(4) // and once more who takes it
	if g == nil {
		t.Fatal("not started after the end of the orphan")
	}
	giveBack(t, g)
}

// headOf returns a place at the head of the line that has checked all slots, so that only
// events can wake it.
func headOf(t *testing.T, s *Store, r lease.Request) *place {
	t.Helper()
	l, err := s.Line(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	p := l.(*place)
	for p.head.watch == nil || p.head.scan.all || p.head.checks < len(s.opts.FollowUps) {
		if g, v, err := p.TryAcquire(t.Context(), lease.Clearance{}); g != nil || err != nil {
			t.Fatalf("%v, %v, %v", g, v, err)
		}
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
		_ = p.Wait(ctx)
		stop()
	}
	return p
}

// granted waits until p has its slots, and gives them back.
func granted(t *testing.T, p *place) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		if err := p.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		g, _, err := p.TryAcquire(ctx, lease.Clearance{})
		if err != nil {
			t.Fatal(err)
		}
		if g != nil {
			giveBack(t, g)
			return
		}
	}
}

// TestEventsWakeTheHead: whatever gives it room.
func TestEventsWakeTheHead(t *testing.T) {
	for _, c := range []struct {
		name        string
		take, limit int // slots in use before, and the pool's own limit
		room        func(*testing.T, *Store, *holding)
	}{
		{"a release", 1, 1, func(t *testing.T, _ *Store, h *holding) { giveBack(t, h) }},
		// A daemon still has the slots' descriptors, so their files are not closed.
		{"a heavy release beside a daemon", 3, 3, func(t *testing.T, _ *Store, h *holding) {
			for _, f := range h.files {
				fd, err := unix.Dup(int(f.Fd()))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { unix.Close(fd) })
			}
			giveBack(t, h)
		}},
		{"a kill", 1, 1, func(_ *testing.T, _ *Store, h *holding) {
			for _, f := range h.files {
				f.Close()
			}
		}},
		{"a limit", 1, 1, func(t *testing.T, s *Store, h *holding) {
			limit := 3
			if err := setLimit(t.Context(), s, &limit); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { giveBack(t, h) })
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := eventsOnly(t)
			if err := setLimit(t.Context(), s, &c.limit); err != nil {
				t.Fatal(err)
			}
			h := takeSlot(t, s, request(0, c.take))
			p := headOf(t, s, request(0, min(2, c.take)))
			c.room(t, s, h)
			granted(t, p)
		})
	}
}
