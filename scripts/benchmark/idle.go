//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"berth/lease"
	"berth/lease/redisstore"
	"berth/limiter"
)

// What many that only hold or wait cost a Redis while nothing happens: they renew, and
// they show that they still wait.

// idlers hold and wait as 'berth run' does, each with a store, and so connections, of
// its own. Their number is the limit of their pool.
type idlers struct {
	stop    context.CancelFunc
	held    []*limiter.Session
	stores  []*redisstore.Store
	reading sync.WaitGroup // of what becomes of renewals
	waiting sync.WaitGroup
	failed  atomic.Int64 // renewals
	granted atomic.Int64 // waiters that got a slot, which none gives back
}

const idlePool = "idle"

func (b *bench) remoteIdle() (err error) {
	r, err := b.redis()
	if errors.Is(err, errMissing) {
		return nil // and noted
	}
	if err != nil {
		return err
	}
	c, err := dialRedis(r.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	w := watch{c}
	n := b.beside[len(b.beside)-1]
	ctx, cancel := context.WithCancel(b.ctx)
	all := &idlers{stop: cancel}
	defer all.end()
	whole, err := b.gather(ctx, r, all, n)
	if err != nil {
		return err
	}
	before, err := cpu([]int{r.pid})
	if err != nil {
		return err
	}
	began := time.Now()
	took, err := w.during(func() error { return b.sleep(b.idleWatched) })
	if err != nil {
		return err
	}
	wall := time.Since(began)
	after, err := cpu([]int{r.pid})
	if err != nil {
		return err
	}
	part := float64(after-before) / float64(wall)
	failed, granted := all.failed.Load(), all.granted.Load()
	if failed+granted > 0 {
		b.notef("among the idle, %d renewals failed and %d waiters got a slot that none gave back", failed, granted)
	}
	figure := share(part)
	if !whole || failed+granted > 0 {
		figure = "more than it can: it got " + figure
	}
	b.rows = append(b.rows, row{
		what:   fmt.Sprintf("%s and %d waiters that are idle, TTL %v, for %v: part of Redis's only thread", holders(n), b.idleWaiters, lease.DefaultTTL, b.idleWatched),
		berth:  figure,
		peer:   fmt.Sprintf("its scripts %s, %.0f a second", share(float64(took.time)/float64(wall)), float64(took.steps)/wall.Seconds()),
		target: "at most 2.0 %", met: yes(figure == share(part) && part <= 0.02),
	})
	return nil
}

func share(part float64) string { return fmt.Sprintf("%.1f %%", 100*part) }

// gatherAtMost is how long they may take to come. Those of a server that is too slow
// for them would come for ever, for one that is dropped has to come again.
const gatherAtMost = time.Minute

// gather has them come evenly over one heartbeat, as they would be after a while: all
// at once they would also renew all at once. It reports whether all have come: that it
// is too much for this server and this machine is a figure, too, and no failure.
func (b *bench) gather(ctx context.Context, r redisServer, all *idlers, n int) (whole bool, err error) {
	short, cancel := context.WithTimeout(ctx, gatherAtMost)
	defer cancel()
	err = b.arrive(short, r, all, n, func(s *redisstore.Store) error { return all.hold(ctx, short, s, n) })
	if err == nil {
		err = b.arrive(short, r, all, b.idleWaiters, func(s *redisstore.Store) error {
			all.wait(ctx, s, n)
			return nil
		})
	}
	held, line := 0, 0
	for err == nil && short.Err() == nil && (held < n || line < b.idleWaiters) {
		if p, serr := all.stores[0].Summary(short, idlePool, lease.Ticket{}); serr == nil {
			held, line = len(p.Holders), p.Line
		}
		err = b.sleep(100 * time.Millisecond)
	}
	if short.Err() == nil || b.ctx.Err() != nil {
		return err == nil, err
	}
	b.notef("after %v, %d of the idle had begun to hold or to wait; at the last look, %d held and %d waited", gatherAtMost, len(all.stores), held, line)
	return false, nil
}

// arrive has n come, each with a store of its own.
func (b *bench) arrive(ctx context.Context, r redisServer, all *idlers, n int, one func(*redisstore.Store) error) error {
	every, began := heartbeatOf(lease.DefaultTTL), time.Now()
	for i := range n {
		s, err := openRedis(r)
		if err != nil {
			return err
		}
		all.stores = append(all.stores, s)
		if err := one(s); err != nil {
			return err
		}
		if err := b.sleep(time.Until(began.Add(every * time.Duration(i+1) / time.Duration(n)))); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// hold takes a slot while short lasts, and keeps it until ctx ends.
func (all *idlers) hold(ctx, short context.Context, s *redisstore.Store, limit int) error {
	h, err := hold(short, s, asks(idlePool, limit, lease.DefaultTTL))
	if err != nil {
		return err
	}
	kept := limiter.NewSession(h)
	all.held = append(all.held, kept)
	if err := kept.Bind(short, self()); err != nil {
		return err
	}
	all.reading.Go(func() {
		for {
			select {
			case e := <-kept.Events():
				if e.Err != nil {
					all.failed.Add(1)
				}
			case <-ctx.Done():
				return
			}
		}
	})
	return nil
}

func (all *idlers) wait(ctx context.Context, s *redisstore.Store, limit int) {
	r := asks(idlePool, limit, lease.DefaultTTL)
	all.waiting.Go(func() {
		if h, _ := limiter.Acquire(ctx, s, r, limiter.Options{}); h != nil {
			all.granted.Add(1)
		}
	})
}

// end returns when none of them does anything any more. What they hold ends with
// their server.
func (all *idlers) end() {
	all.stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var stopping sync.WaitGroup
	for _, h := range all.held {
		stopping.Go(func() { _ = h.Close(ctx) }) // each waits for a renewal that is under way
	}
	stopping.Wait()
	all.reading.Wait()
	all.waiting.Wait()
	for _, s := range all.stores {
		_ = s.Close()
	}
}
