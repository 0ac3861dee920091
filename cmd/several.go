package cmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"berth/cmd/wait"
	"berth/cmd/words"
	"berth/lease"
	"berth/limiter"
)

// takeSeveral gets the slots of several pools, one pool after the other in the order of
// lease.InOrder, while it holds those of the pools before. After an error nothing is held.
func (c *claim) takeSeveral(ctx context.Context) (limiter.Sessions, error) {
	steps, err := c.plan(ctx)
	if err != nil {
		return nil, err
	}
	until := time.Now().Add(c.Wait) // --wait is for all of them together
	var held limiter.Sessions
	for i, w := range steps {
		w.Held = held
		if c.Wait > 0 {
			w.AtMost = max(0, time.Until(until))
		}
		s, err := w.Acquire(ctx)
		if err != nil {
			c.giveBack(ctx, held)
			if c.givenBack = append(held.Leases(), c.givenBack...); i+1 < len(steps) || len(c.givenBack) < len(steps) {
				c.givenBack = nil // they were never all had
			}
			return nil, err
		}
		s.Keep()
		held = held.With(s)
	}
	return c.asTyped(held), nil
}

// plan is how the pools are taken, each with its waiter, in the order of their names. It has
// nothing taken yet, so what can be known to be wrong is found out here. Those in whose jobs
// this runs already are not taken again.
func (c *claim) plan(ctx context.Context) (steps []*wait.Waiter, err error) {
	for _, q := range lease.InOrder(c.Requests) {
		w, err := c.ready(ctx, q)
		if err != nil {
			return nil, err
		}
		if w != nil {
			steps = append(steps, w)
		}
	}
	return steps, nil
}

// ready is the waiter for a pool that may be taken, nil for one that this is inside of.
func (c *claim) ready(ctx context.Context, q lease.Request) (*wait.Waiter, error) {
	asker := newAsker(c.store, q, c.say)
	w := c.waiter(q, asker)
	if q.Gates != "" {
		if err := w.Answerable(ctx, false, asker.Check); err != nil {
			return nil, err
		}
	}
	pool, err := w.Pool(ctx)
	if err != nil {
		return nil, err
	}
	if inside, err := c.inside(w, pool); inside || err != nil {
		return nil, err
	}
	if pool.Own.Limit == nil {
		return nil, words.Hinted(fmt.Errorf("pool %s has no limit of its own, and a job that takes several pools needs one in each", q.Pool),
			fmt.Sprintf("berth limit %s N", q.Pool))
	}
	if err := limiter.Possible(q, pool.Own); err != nil {
		return nil, err
	}
	if pool.Own.Gates != "" {
		err = w.Answerable(ctx, true, func() error { return asker.CheckPool(pool.Own) })
	}
	return w, err
}

// giveBackWithin bounds giving back what is held by a job that is not started. What a server
// does not hear in this time ends with its TTL, and in a directory with this process.
const giveBackWithin = 5 * time.Second

func (c *claim) giveBack(ctx context.Context, held limiter.Sessions) {
	if len(held) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveBackWithin)
	defer cancel()
	if err := held.Unused(ctx); err != nil && !errors.Is(err, lease.ErrLost) {
		c.say.notef("%v", err)
	}
}

// asTyped are the sessions in the order in which their pools were typed.
func (c *claim) asTyped(held limiter.Sessions) (all limiter.Sessions) {
	for i := range c.Requests {
		if s := held.Of(c.Requests[i].ID); s != nil {
			all = append(all, s)
		}
	}
	return all
}

// leases are what a command is told of: those of its sessions, and in place of pools that it is
// inside of already, those of the jobs around it. A single pool that it is inside of leaves the
// environment as it is.
func (c *claim) leases(s limiter.Sessions) (all []lease.Lease) {
	if len(c.Requests) == 1 {
		if outer := c.outer[c.First().Pool]; outer != nil && outer.Kept { // its process does not show it in its environment
			return []lease.Lease{*outer}
		}
		return s.Leases()
	}
	for i := range c.Requests {
		q := &c.Requests[i]
		if outer := c.outer[q.Pool]; outer != nil {
			all = append(all, *outer)
		} else if own := s.Of(q.ID); own != nil {
			all = append(all, own.Lease())
		}
	}
	return all
}
