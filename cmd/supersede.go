package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"berth/cmd/stopping"
	"berth/cmd/text"
	"berth/lease"
)

// supersede sends away all waiters of the same job that stand before the ticket in time. Of
// several that do this at once, the last to come is told by none of them, and all others are
// told by it: so one stays. It does not wait until they have left, and wakes them beside the
// wait: one that stands behind others sleeps until they have left.
//
// On etcd a waiter has its number before others can see it. So one that came before may turn up
// late, and with a server it looks again.
func (c *claim) supersede(t lease.Ticket) {
	told := c.sendAwayAll(t, olderWaiters)
	go func() {
		stopping.Rouse(context.Background(), stoppingIn(c.store), told)
		for _, pause := range supersedeAgain {
			if c.store.Remote {
				time.Sleep(pause)
				stopping.Rouse(context.Background(), stoppingIn(c.store), c.sendAwayAll(t, olderInLine))
			}
		}
	}()
}

// supersedeAgain are the pauses before it looks again.
var supersedeAgain = []time.Duration{100 * time.Millisecond, 400 * time.Millisecond, 1500 * time.Millisecond, 5 * time.Second}

// sendAwayAll tells those that which finds to leave, and returns them.
func (c *claim) sendAwayAll(t lease.Ticket, which func(*lease.Pool, lease.Ticket) []string) (told []lease.Entry) {
	ctx, cancel := telling(c.store)
	defer cancel()
	pools, err := c.store.List(ctx, t.Pool)
	if err != nil {
		c.say.notef("cannot send away older waiters of job %q: %v", t.Job, err)
		return nil
	}
	for _, id := range which(&pools[0], t) {
		if e := c.sendAway(ctx, id, t); e.Ticket != nil {
			told = append(told, e)
		}
	}
	return told
}

// olderInLine are the waiters of the same job that stand before the ticket in its pool. On etcd
// two can have the same number.
func olderInLine(p *lease.Pool, t lease.Ticket) (ids []string) {
	for _, w := range p.Waiters {
		if s := w.Ticket.Seq; w.Ticket.Job == t.Job && (s < t.Seq || s == t.Seq && w.ID() < t.ID) {
			ids = append(ids, w.ID())
		}
	}
	return ids
}

// olderWaiters are those of olderInLine, and those that hold slots of this pool already and may wait for those of another.
func olderWaiters(p *lease.Pool, t lease.Ticket) (ids []string) {
	ids = olderInLine(p, t)
	for _, h := range p.Holders {
		if h.Lease.Job == t.Job && h.Lease.State != lease.Running {
			ids = append(ids, h.Lease.After()...)
		}
	}
	return ids
}

// sendAway tells a waiter to leave. No ticket: it has left by itself, or has its slots.
func (c *claim) sendAway(ctx context.Context, id string, t lease.Ticket) lease.Entry {
	m := lease.Message{Kind: lease.MessageSupersede, Stop: lease.Stop{
		By: fmt.Sprintf("%s (pid %d)", text.Me(), os.Getpid()), Successor: t.ID,
	}}
	e, err := c.store.Tell(ctx, id, m)
	switch {
	case errors.Is(err, lease.ErrNotFound):
		return lease.Entry{}
	case err != nil:
		c.say.notef("cannot send away %s: %v", id, err)
		return lease.Entry{}
	}
	c.say.verbosef("sent away %s, an older waiter of job %q", id, t.Job)
	return e
}
