//go:build unix

package filestore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/clock"
	"berth/lease/memstore"
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

// FuzzSlot: whatever a slot's file holds, nobody gets the slot who should not.
// A slot is free when its file is empty or holds the record of a lease whose
// child is gone.
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

// FuzzModel: any sequence of operations has the same answers here and in the
// model.
func FuzzModel(f *testing.F) {
	f.Add([]byte{0, 1, 10, 2, 20, 3, 30, 4, 40, 5, 50, 6})
	f.Add([]byte{1, 1, 1, 2, 1, 3, 3, 0, 2, 0, 2, 1, 4, 0, 5, 3, 2, 2})
	f.Add([]byte{0, 2, 1, 34, 1, 2, 4, 0, 2, 0, 6, 0, 2, 1, 7, 0})
	f.Add([]byte("00201A$000")) // passes a line whose head has not yet corrected the index
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) > 60 {
			ops = ops[:60]
		}
		a := &model{s: &memstore.Store{}}
		b := &model{s: newStore(t)}
		for i := 0; i+1 < len(ops); i += 2 {
			id := fmt.Sprintf("p/%012d", i)
			if want, got := a.do(t, id, ops[i], ops[i+1]), b.do(t, id, ops[i], ops[i+1]); got != want {
				t.Fatalf("step %d (%d %d): %s, the model says %s", i/2, ops[i], ops[i+1], got, want)
			}
		}
	})
}

// model drives a store by numbers.
type model struct {
	s      lease.Store
	held   []lease.Holding
	places []lease.Place
	aside  map[lease.Place]bool
	first  uint64 // token of all
}

func (m *model) do(t *testing.T, id string, op, arg byte) string {
	ctx := context.Background()
	r := storetest.Request("p", int(arg%4))
	r.ID, r.Weight, r.Priority = id, 1+int(arg/4%3), int(arg/16%3)-1
	if arg/64 == 1 {
		r.Key = "k"
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%T: operation %d %d: %v", m.s, op, arg, err)
		}
	}
	if m.aside == nil {
		m.aside = map[lease.Place]bool{}
	}
	switch op % 8 {
	case 0:
		r.Key = ""
		h, v, err := m.s.TryAcquire(ctx, r)
		check(err)
		return m.got(t, h, v)
	case 1:
		p, err := m.s.Line(ctx, r)
		check(err)
		m.places = append(m.places, p)
		return fmt.Sprint("seq ", p.Ticket().Seq, " priority ", p.Ticket().Priority)
	case 2, 3: // the likeliest, for the line to move
		if len(m.places) == 0 {
			return "nobody waits"
		}
		i := int(arg) % len(m.places)
		p := m.places[i]
		if m.aside[p] {
			check(p.Return(ctx))
			delete(m.aside, p)
		}
		h, v, err := p.TryAcquire(ctx, lease.Clearance{})
		check(err)
		if h != nil {
			m.places = append(m.places[:i:i], m.places[i+1:]...)
		}
		return m.got(t, h, v)
	case 4:
		if len(m.held) == 0 {
			return "nobody holds"
		}
		i := int(arg) % len(m.held)
		check(m.held[i].Release(ctx))
		m.held = append(m.held[:i:i], m.held[i+1:]...)
	case 5:
		own := int(arg % 5)
		if own == 4 {
			check(setLimit(ctx, m.s, nil))
		} else {
			check(setLimit(ctx, m.s, &own))
		}
	case 6:
		if len(m.places) > 0 {
			i := int(arg) % len(m.places)
			check(m.places[i].Leave(ctx))
			m.places = append(m.places[:i:i], m.places[i+1:]...)
		}
	case 7:
		if len(m.places) > 0 {
			if p := m.places[int(arg)%len(m.places)]; !m.aside[p] {
				check(p.StepAside(ctx))
				m.aside[p] = true
			}
		}
	}
	pools, err := m.s.List(ctx, "p")
	check(err)
	v := pools[0]
	line := ""
	for _, w := range v.Waiters {
		line += fmt.Sprintf(" %d%v", w.Ticket.Seq, w.Aside)
	}
	limit := "none"
	if v.Limit != nil {
		limit = fmt.Sprint(*v.Limit)
	}
	return fmt.Sprintf("used %d limit %s line%s", v.Used, limit, line)
}

// got leaves out which slots they are: the directory's index may still take a slot for
// used that has just been freed, and then another one is granted. They must be free, and
// below the limit.
func (m *model) got(t *testing.T, h lease.Holding, v lease.Verdict) string {
	t.Helper()
	if h == nil {
		return fmt.Sprintf("%s ahead %d", v.Reason, min(v.Ahead, 1))
	}
	l := h.Lease()
	for _, slot := range l.Slots {
		if slot < 0 || slot >= l.InForce {
			t.Fatalf("%T: slot %d with a limit of %d", m.s, slot, l.InForce)
		}
		for _, other := range m.held {
			if slices.Contains(other.Lease().Slots, slot) {
				t.Fatalf("%T: slot %d is held by %s and %s", m.s, slot, other.Lease().ID, l.ID)
			}
		}
	}
	m.held = append(m.held, h)
	if m.first == 0 {
		m.first = l.Token
	}
	return fmt.Sprintf("%d slots token +%d limit %d", len(l.Slots), l.Token-m.first, l.InForce)
}

// TestGarbageFromBefore: what is older than this boot belongs to no process. That it
// is older is not believed of the wall clock alone, which somebody may have set.
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
