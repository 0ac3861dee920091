package storetest

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"berth/lease"
)

// newcomers: they all come at once, and never stand in the line.
func newcomers(t *testing.T, s *suite) {
	const callers, limit = 8, 2
	rounds := make(chan struct{}, 60)
	for range cap(rounds) {
		rounds <- struct{}{}
	}
	close(rounds)
	in := &inside{T: t, limit: limit, slots: map[int]bool{}}
	var wg sync.WaitGroup
	for i := range callers {
		store := []lease.Store{s.Store, s.another}[i%2]
		wg.Go(func() {
			for range rounds {
				h, v, err := store.TryAcquire(s.ctx, Request("p", limit))
				switch {
				case err != nil:
					t.Error(err)
					return
				case h == nil && v.Reason != lease.Full:
					t.Errorf("verdict %+v, want full", v)
				case h != nil:
					in.during(h, func() { time.Sleep(time.Millisecond) }) // let others try; decides nothing
					if err := h.Release(s.ctx); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	if in.most == 0 {
		t.Error("no request ever had a slot")
	}
	empty(t, s, "p")
}

// inside are the holders of this moment.
type inside struct {
	*testing.T
	limit int
	mu    sync.Mutex
	slots map[int]bool
	most  int
}

func (in *inside) during(h lease.Holding, f func()) {
	in.mu.Lock()
	for _, slot := range h.Lease().Slots {
		if in.slots[slot] {
			in.Errorf("slot %d is held twice", slot)
		}
		in.slots[slot] = true
	}
	if in.most = max(in.most, len(in.slots)); in.most > in.limit {
		in.Errorf("%d at once, limit %d", in.most, in.limit)
	}
	in.mu.Unlock()
	f()
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, slot := range h.Lease().Slots {
		delete(in.slots, slot)
	}
}

// drainsAtOnce: once Set has returned with a limit of 0, no new job starts, not even one
// that was being decided about just then.
func drainsAtOnce(t *testing.T, s *suite) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 8 {
		store := []lease.Store{s.Store, s.another}[i%2]
		wg.Go(func() {
			for ctx.Err() == nil {
				r := with(Request("p", 4), func(r *lease.Request) { r.Priority = rand.IntN(3) })
				h := takeEither(ctx, store, r)
				if h == nil {
					continue
				}
				time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
				if err := h.Release(s.ctx); err != nil {
					t.Error(err)
				}
			}
		})
	}
	zero := 0
	for range 10 {
		if err := s.setLimit("p", &zero); err != nil {
			t.Fatal(err)
		}
		before := s.holders("p")
		time.Sleep(3 * time.Millisecond)
		for _, id := range s.holders("p") {
			if !slices.Contains(before, id) {
				t.Errorf("%s has started in a drained pool", id)
			}
		}
		if err := s.setLimit("p", nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Millisecond)
	}
	cancel()
	wg.Wait()
	empty(t, s, "p")
}

// takeEither takes slots as a newcomer or from the line; nil: it got none.
func takeEither(ctx context.Context, store lease.Store, r lease.Request) lease.Holding {
	if rand.IntN(2) == 0 {
		h, _, err := store.TryAcquire(ctx, r)
		if err == nil {
			return h
		}
		return nil
	}
	p, err := store.Line(ctx, r)
	if err != nil {
		return nil
	}
	h, err := Get(ctx, p)
	if err != nil {
		_ = p.Leave(context.WithoutCancel(ctx))
		return nil
	}
	return h
}

func (s *suite) holders(pool string) (ids []string) {
	s.Helper()
	pools, err := s.List(s.ctx, pool)
	if err != nil {
		s.Fatal(err)
	}
	for _, h := range pools[0].Holders {
		ids = append(ids, h.Lease.ID)
	}
	return ids
}
