//go:build unix

package limiter

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"

	"berth/lease"
	"berth/lease/filestore"
	"berth/lease/storetest"
)

// deciding counts the decisions that are made for each request under its pool's lock, and
// tells when a waiter waits.
type deciding struct {
	lease.Store
	mu    sync.Mutex
	count map[string]int
	waits chan string
}

type decidingPlace struct {
	lease.Place
	s *deciding
}

func (s *deciding) decides(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count[id]++
}

func (s *deciding) TryAcquire(ctx context.Context, r lease.Request) (lease.Holding, lease.Verdict, error) {
	s.decides(r.ID)
	return s.Store.TryAcquire(ctx, r)
}

func (s *deciding) Line(ctx context.Context, r lease.Request) (lease.Place, error) {
	p, err := s.Store.Line(ctx, r)
	if err != nil {
		return nil, err
	}
	return decidingPlace{p, s}, nil
}

func (p decidingPlace) TryAcquire(ctx context.Context, c lease.Clearance) (lease.Holding, lease.Verdict, error) {
	p.s.decides(p.Ticket().ID)
	return p.Place.TryAcquire(ctx, c)
}

func (p decidingPlace) Wait(ctx context.Context) error {
	p.s.waits <- p.Ticket().ID
	return p.Place.Wait(ctx)
}

// TestDecidesOnce: before it sleeps, a waiter decides once under the pool's lock of a
// directory. Only the first one decides a second time, once it can see what is given back.
func TestDecidesOnce(t *testing.T) {
	lives := func(lease.Process) bool { return true }
	dir, err := filestore.Open(t.TempDir(), filestore.Options{Alive: lives})
	if err != nil {
		t.Fatal(err)
	}
	s := &deciding{Store: dir, count: map[string]int{}, waits: make(chan string, 100)}
	line := func(id string) (took chan *Session) {
		r := storetest.Request("p", 1)
		r.ID = id
		var busy *BusyError
		if _, err := Acquire(t.Context(), s, r, Options{Now: true}); !errors.As(err, &busy) {
			t.Fatalf("%v, want a BusyError", err)
		}
		took = make(chan *Session, 1)
		go func() {
			h, err := Acquire(t.Context(), s, r, Options{Verdict: busy.Verdict})
			if err != nil {
				t.Error(err)
			}
			took <- h
		}()
		return took
	}
	waits := func(id string) {
		if got := <-s.waits; got != id {
			t.Fatalf("%s waits, want %s", got, id)
		}
	}
	h, err := Acquire(t.Context(), dir, storetest.Request("p", 1), Options{})
	if err != nil {
		t.Fatal(err)
	}
	a := line("a")
	waits("a") // for its watch
	waits("a") // for a slot
	b := line("b")
	waits("b")
	c := line("c")
	waits("c")
	s.mu.Lock()
	if want := map[string]int{"a": 2, "b": 1, "c": 1}; !maps.Equal(s.count, want) {
		t.Errorf("decisions before they sleep: %v, want %v", s.count, want)
	}
	s.mu.Unlock()
	for _, took := range []chan *Session{a, b, c} {
		if err := h.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if h = <-took; h == nil {
			t.FailNow()
		}
	}
	_ = h.Close(t.Context())
}
