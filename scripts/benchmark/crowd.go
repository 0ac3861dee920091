//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"berth/lease"
)

// A thousand holders on a server are a thousand leases of ours, and no processes: what
// they cost the server is the same, and this machine has only so much room.

// asks is a request as 'berth run' on a server makes one.
func asks(pool string, limit int, ttl time.Duration) lease.Request {
	return lease.Request{
		ID: lease.NewID(pool), Pool: pool, Limit: limit, Weight: 1,
		TTL: ttl, Heartbeat: heartbeatOf(ttl), Signal: 15, KillAfter: 10 * time.Second,
		Owner: self(), UID: os.Getuid(), Command: []string{"make", "-C", "/srv/build/project", "test"},
	}
}

// heartbeatOf is how often 'berth run' renews, unless it is told otherwise.
func heartbeatOf(ttl time.Duration) time.Duration { return min(5*time.Second, ttl/3) }

func self() lease.Process {
	host, _ := os.Hostname()
	return lease.Process{PID: os.Getpid(), Start: 1, Boot: "00000000-0000-0000-0000-000000000000", PIDNS: 1, Host: host}
}

// heldOff is how long a store may let no job start at first, because it is new.
const heldOff = 2 * time.Minute

// hold takes a slot that is free and says that its job runs.
func hold(ctx context.Context, s lease.Store, r lease.Request) (lease.Holding, error) {
	ctx, cancel := context.WithTimeout(ctx, heldOff)
	defer cancel()
	for {
		h, v, err := s.TryAcquire(ctx, r)
		switch {
		case errors.As(err, new(*lease.UnreachableError)) && ctx.Err() == nil:
			// So busy with what is to be measured that it answers late.
		case err != nil:
			return nil, err
		case h != nil:
			return h, h.Running(ctx, self())
		case v.Reason != lease.Recovering:
			return nil, fmt.Errorf("pool %s has no slot for a holder: %s", r.Pool, v)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// crowd are the holders of a pool.
type crowd struct {
	pool  string
	store lease.Store
	ttl   time.Duration
	held  []lease.Holding
	next  int // of those whose turn it is to be measured
}

// fill makes n holders of a pool, whose limit is limit.
func fill(ctx context.Context, s lease.Store, pool string, n, limit int, ttl time.Duration) (*crowd, error) {
	c := &crowd{pool: pool, store: s, ttl: ttl}
	for range n {
		h, err := hold(ctx, s, asks(pool, limit, ttl))
		if err != nil {
			return nil, err
		}
		c.held = append(c.held, h)
	}
	return c, nil
}

// whole checks that no holder was dropped during the measurement: then the figures would
// be of a smaller pool.
func (c *crowd) whole(ctx context.Context) error {
	pools, err := c.store.List(ctx, c.pool)
	if err != nil {
		return err
	}
	if n := len(pools[0].Holders); n != len(c.held) {
		return fmt.Errorf("pool %s has %d holders at the end of what was to be measured with %d", c.pool, n, len(c.held))
	}
	return nil
}

// one is the holder whose turn it is, so that not always the same is measured.
func (c *crowd) one() *lease.Holding {
	c.next = (c.next + 1) % len(c.held)
	return &c.held[c.next]
}

func (c *crowd) renew(ctx context.Context) error {
	_, err := (*c.one()).Renew(ctx, c.ttl)
	return err
}

// refused asks for a slot where there is none.
func (c *crowd) refused(ctx context.Context) error {
	h, v, err := c.store.TryAcquire(ctx, asks(c.pool, len(c.held), c.ttl))
	if err == nil && (h != nil || v.Reason != lease.Full) {
		err = fmt.Errorf("pool %s with %d of %[2]d in use says to one more: %s", c.pool, len(c.held), v)
	}
	return err
}

func (c *crowd) list(ctx context.Context) error {
	_, err := c.store.List(ctx, c.pool)
	return err
}

// waitAtMost bounds a wait that would be the end of a measurement, not a part of it.
const waitAtMost = 30 * time.Second

// handOver has a holder give its slot to a waiter, which is the next holder then.
// released is called between that and what the waiter does itself.
func (c *crowd) handOver(ctx context.Context, waits, released func() error) error {
	ctx, cancel := context.WithTimeout(ctx, waitAtMost)
	defer cancel()
	p, err := c.store.Line(ctx, asks(c.pool, len(c.held), c.ttl))
	if err != nil {
		return err
	}
	h, v, err := p.TryAcquire(ctx, lease.Clearance{})
	if err != nil {
		return err
	}
	if h != nil || v.Reason != lease.Full {
		return fmt.Errorf("a waiter of pool %s with %d of %[2]d in use is told: %s", c.pool, len(c.held), v)
	}
	woken := make(chan error, 1)
	go func() { woken <- p.Wait(ctx) }()
	if err := waits(); err != nil {
		return errors.Join(err, <-woken)
	}
	old := c.one()
	if err := (*old).Release(ctx); err != nil {
		cancel()
		return errors.Join(err, <-woken)
	}
	if err := errors.Join(<-woken, released()); err != nil {
		return err
	}
	for h == nil {
		if h, _, err = p.TryAcquire(ctx, lease.Clearance{}); err == nil && h == nil {
			err = p.Wait(ctx)
		}
		if err != nil {
			return err
		}
	}
	*old = h
	return nil
}
