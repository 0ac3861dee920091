//go:build unix

package filestore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/clock"
	"berth/lease/storetest"
)

func newStore(t testing.TB) *Store {
	s, err := Open(t.TempDir(), Options{Alive: func(p lease.Process) bool { return p.PID == os.Getpid() }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func setLimit(ctx context.Context, s lease.Store, limit *int) error {
	return s.Set(ctx, "p", func(own lease.Settings, err error) (lease.Settings, error) {
		own.Limit = limit
		return own, err
	})
}

// FuzzRecord: reading never panics, and only an empty file and one that begins with
// the mark of a free slot read as nothing, whatever a keepalive that came late has
// written into the mark.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(""))
	f.Add([]byte("\n"))
	f.Add([]byte("garbage"))
	f.Add([]byte(`{"beat":                   1,"keepalive":                   0}` + "\n"))
	f.Add([]byte(`{"v":1,"id":"p/1","slots":[0]}` + "\n" + `{"stop":{}}` + "\n"))
	f.Add([]byte(`{"v":99,"id":"p/1","slots":[0]}` + "\n"))
	f.Add([]byte(`{"v":1,"id":"p/1","seq":3}` + "\n" + `{"aside":{"left":1}}` + "\n"))
	f.Add([]byte(`{"child":null}` + "\n" + `{"v":1,"id":"p/1","slots":[0]}` + "\n"))
	mark := []byte(freeMark)
	f.Add(mark)
	f.Add(append(slices.Clone(mark), `{"v":1,"id":"p/1","slots":[0]}`+"\n"...))
	f.Add(append(slices.Clone(mark[:keepaliveAt]), `           812345678}`+"\n"...))
	f.Add(mark[:keepaliveAt-1])
	f.Add([]byte(`{"free":false}` + strings.Repeat(" ", keepaliveAt)))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRecord(b)
		free := len(b) == 0 || len(b) >= keepaliveAt && strings.TrimRight(string(b[:keepaliveAt]), " ") == `{"free":true}`
		if (err == nil && r == nil) != free {
			t.Fatalf("%q reads as %+v, %v; free: %v", b, r, err, free)
		}
		if r != nil && r.lease == nil && r.ticket == nil {
			t.Fatalf("%q reads as a record of nothing", b)
		}
	})
}

// FuzzIndex: reading never panics, and what is read writes back the same.
func FuzzIndex(f *testing.F) {
	good := &index{ticket: 3, token: 9, change: 2, line: 1, start: 5, boot: 7}
	f.Add(good.header())
	good.limits = []int{4, 0, noLimit}
	whole := good.records(good.header(), 0, 3)
	f.Add(whole)
	f.Add(append(slices.Clone(whole), "0000000"...))
	f.Add([]byte("berth 3 ticket "))
	f.Add([]byte(oldIndex))
	f.Fuzz(func(t *testing.T, b []byte) {
		ix, err := parseIndex(b)
		if err != nil {
			return
		}
		out := ix.records(slices.Clone(ix.saved), 0, len(ix.limits))
		if string(out) != string(b) {
			t.Fatalf("%q reads and writes back as %q", b, out)
		}
	})
}

// FuzzSlot: whatever a slot's file contains, the slot is granted only if it is free: the file
// is empty or marked, or has the record of a lease whose child is gone.
func FuzzSlot(f *testing.F) {
	f.Add([]byte(""))
	f.Add([]byte("garbage\n"))
	f.Add([]byte(`{"v":2,"id":"p/1","slots":[0]}` + "\n"))
	f.Add([]byte(`{"v":1,"id":"p/1","slots":[0]}` + "\n"))
	f.Add([]byte(`{"child":{"pid":1,"start":1}}` + "\n" + `{"v":1,"id":"p/1","slots":[0]}` + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newStore(t)
		for _, d := range []string{"p", "p/slots", "p/line"} {
			if err := os.Mkdir(s.path(d), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(s.path("p", "slots", "0"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		r, rerr := parseRecord(b)
		free := rerr == nil && (r == nil || r.lease != nil && (r.child == nil || r.child.PID != os.Getpid()))
		h, _, err := s.TryAcquire(context.Background(), storetest.Request("p", 1))
		if (h != nil) != free {
			t.Fatalf("%q: got %v, %v; free: %v", b, h, err, free)
		}
		if rerr != nil {
			var bad *lease.DamagedError
			if !errors.As(err, &bad) {
				t.Fatalf("%q: %v, want a DamagedError", b, err)
			}
			if after, _ := os.ReadFile(s.path("p", "slots", "0")); string(after) != string(b) {
				t.Fatalf("%q was changed to %q", b, after)
			}
		}
		if h != nil {
			if err := h.Release(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestGarbageFromBefore: a file that is older than this boot belongs to no process. The wall
// clock alone is not believed, because it may have been set.
func TestGarbageFromBefore(t *testing.T) {
	s := newStore(t)
	giveBack(t, takeSlot(t, s, request(1, 1)))
	file := filepath.Join(s.dir, "p", "slots", "0")
	if err := os.WriteFile(file, []byte("torn by a power cut"), 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Duration(clock.Now()) - time.Hour)
	for _, name := range []string{"slots/0", "lock"} {
		if err := os.Chtimes(s.path("p", name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		h, v, err := s.TryAcquire(t.Context(), request(1, 1))
		if h != nil || err == nil {
			t.Fatalf("%v, %+v, %v: taken after the clock was set", h, v, err)
		}
	}
	s = afterABoot(t, s)
	if pools, err := s.List(t.Context(), "p"); err != nil || len(pools[0].Holders) > 0 {
		t.Errorf("%+v, %v; want a free slot", pools, err)
	}
	giveBack(t, takeSlot(t, s, request(1, 1)))
	if err := os.WriteFile(file, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if h, _, err := s.TryAcquire(t.Context(), request(1, 1)); h != nil || err == nil {
		t.Errorf("%v, %v: garbage of this boot is free", h, err)
	}
}

// afterABoot opens the store as after another boot of the machine.
func afterABoot(t *testing.T, s *Store) *Store {
	t.Helper()
	o := s.opts
	o.Boot += "another"
	s, err := Open(s.dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
