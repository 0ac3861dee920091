//go:build linux

package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"berth/lease"
	"berth/lease/redisstore"
	"berth/lease/remote"
)

// What a step takes of Redis's only thread, beside few holders and beside many.

const (
	// stepTTL outlives the measurement: nothing but us is to renew during it.
	stepTTL = 30 * time.Minute
	// together is how many quick steps are one sample: the server counts in whole us.
	together = 10
	// samples of each step in a block.
	samples = 6
)

// figure is what it is, how much is the goal, and its samples by the number of holders.
type figure struct {
	what  string
	goal  time.Duration // 0: none
	alone bool          // other holders have no part in it
	by    []series
}

// steps are all figures of remoteSteps.
type steps struct{ reads, renew, refused, handOver, confirm, longest, list figure }

func (s *steps) all() []*figure {
	return []*figure{&s.reads, &s.renew, &s.refused, &s.handOver, &s.confirm, &s.longest, &s.list}
}

func newSteps(sizes, blocks int) *steps {
	s := &steps{
		reads:    figure{what: "a script that reads a key 100 times, which shows how fast this machine is just now", alone: true},
		renew:    figure{what: "a renewal", goal: 40 * time.Microsecond},
		refused:  figure{what: "a refused try", goal: 60 * time.Microsecond},
		handOver: figure{what: "a release that grants to the head of the line", goal: 150 * time.Microsecond},
		confirm:  figure{what: "what the waiter asks before it starts then"},
		longest:  figure{what: "`ls`, its longest step", goal: time.Millisecond},
		list:     figure{what: "`ls`, all its steps"},
	}
	for _, f := range s.all() {
		f.by = make([]series, sizes)
		for i := range f.by {
			f.by[i] = make(series, blocks)
		}
	}
	return s
}

func (f *figure) add(size, block int, d time.Duration) {
	if f.alone {
		size = 0
	}
	f.by[size][block] = append(f.by[size][block], float64(d))
}

func (b *bench) remoteSteps() error {
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
	crowds, done, err := b.redisCrowds(r)
	if err != nil {
		return err
	}
	defer done()
	if err := b.idle(w); err != nil {
		return err
	}
	got := newSteps(len(crowds), b.blocks)
	order := make([]int, len(crowds))
	for i := range order {
		order[i] = i
	}
	for block := range b.blocks {
		slices.Reverse(order)
		for _, i := range order {
			if err := b.blockOfSteps(w, crowds[i], got, i, block); err != nil {
				return err
			}
		}
	}
	for _, c := range crowds {
		if err := c.whole(b.ctx); err != nil {
			return err
		}
	}
	for _, f := range got.all() {
		b.printFigure(f)
	}
	b.notef("Redis's time is its own account (INFO commandstats, for `ls` SLOWLOG from %v on); a sample of a renewal, a refused try or the 100 reads is the mean of %d; the least of the samples is what a machine without other work comes near to", noticed, together)
	return nil
}

// redisCrowds fills one pool for each number of holders.
func (b *bench) redisCrowds(r redisServer) (crowds []*crowd, done func(), err error) {
	s, err := openRedis(r)
	if err != nil {
		return nil, nil, err
	}
	done = func() { _ = s.Close() }
	for _, n := range b.beside {
		// With an ordinary TTL first: a server that does not know whether it has forgotten
		// a holder lets no job start for so long.
		c, err := fill(b.ctx, s, besidePool(n), n, n, lease.DefaultTTL)
		if err != nil {
			done()
			return nil, nil, err
		}
		c.ttl = stepTTL
		for range c.held {
			if err := c.renew(b.ctx); err != nil {
				done()
				return nil, nil, err
			}
		}
		crowds = append(crowds, c)
	}
	return crowds, done, nil
}

func besidePool(n int) string { return fmt.Sprintf("beside-%d", n) }

func openRedis(r redisServer) (*redisstore.Store, error) {
	a, err := remote.ParseURL(r.store)
	if err != nil {
		return nil, err
	}
	return redisstore.Open(a)
}

// idle waits until nothing is under way any more that was begun before.
func (b *bench) idle(w watch) error {
	return b.until("a Redis that runs no scripts", 0, time.Minute, func() (bool, error) {
		now, err := w.during(func() error { return b.sleep(200 * time.Millisecond) })
		return now.steps == 0, err
	})
}

func (b *bench) blockOfSteps(w watch, c *crowd, got *steps, size, block int) error {
	for range samples {
		for _, m := range []struct {
			f  *figure
			do func() error
		}{
			{&got.reads, w.reads},
			{&got.renew, func() error { return c.renew(b.ctx) }},
			{&got.refused, func() error { return c.refused(b.ctx) }},
		} {
			took, err := w.during(func() error { return times(together, m.do) })
			if err != nil {
				return fmt.Errorf("%s: %w", m.f.what, err)
			}
			m.f.add(size, block, took.time/together)
		}
		released, after, err := b.handOverSteps(w, c)
		if err != nil {
			return fmt.Errorf("%s: %w", got.handOver.what, err)
		}
		got.handOver.add(size, block, released.time)
		if after.steps > 0 {
			got.confirm.add(size, block, after.time)
		}
		most, all, err := w.longest(func() error { return c.list(b.ctx) })
		if err != nil {
			return fmt.Errorf("%s: %w", got.list.what, err)
		}
		got.longest.add(size, block, most)
		got.list.add(size, block, all.time)
	}
	return nil
}

func times(n int, f func() error) error {
	for range n {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

// handOverSteps is what the step took that gave a slot back, and what the waiter asked
// for after it was woken.
func (b *bench) handOverSteps(w watch, c *crowd) (released, after spent, err error) {
	waits := func() error {
		if err := w.blocked(1); err != nil {
			return err
		}
		return w.reset()
	}
	err = c.handOver(b.ctx, waits, func() (err error) {
		released, err = w.scripts()
		return err
	})
	if err != nil {
		return released, after, err
	}
	after, err = w.scripts()
	return released, after.minus(released), err
}

// printFigure adds a row for each number of holders, each beside the least of them.
func (b *bench) printFigure(f *figure) {
	for i, n := range b.beside {
		s := f.by[i]
		if len(s.all()) == 0 {
			continue // there is no such step
		}
		what := fmt.Sprintf("Redis's time of %s, %s", f.what, holders(n))
		if f.alone {
			what = "Redis's time of " + f.what
		}
		r := row{
			what:  what,
			berth: fmt.Sprintf("%s (n=%d, least %s)", us(median(s.all())), len(s.all()), us(slices.Min(s.all()))),
		}
		if i > 0 && len(f.by[0].all()) > 0 {
			all, low, high := ratio(median, s, f.by[0])
			r.peer = fmt.Sprintf("%s %s", holders(b.beside[0]), us(median(f.by[0].all())))
			r.ratio = fmt.Sprintf("%.2fx (%.2f to %.2f)", all, low, high)
		}
		if f.goal > 0 {
			r.target, r.met = "at most "+us(float64(f.goal)), yes(median(s.all()) <= float64(f.goal))
		}
		b.rows = append(b.rows, r)
	}
}

func holders(n int) string {
	if n == 1 {
		return "1 holder"
	}
	return fmt.Sprintf("%d holders", n)
}

func us(ns float64) string { return fmt.Sprintf("%.0f us", ns/float64(time.Microsecond)) }
