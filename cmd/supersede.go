package cmd

import (
	"context"
	"errors"
	"fmt"

	"berth/cmd/stopping"
	"berth/cmd/text"
	"berth/lease"
)

// supersede sends away all waiters of the same job that are older than the ticket, or this one
// if a newer one supersedes it. So one of several that do this at once stays: of any two, the
// one that reads the line last sees the other, also in a store where the older one can show in
// the line after the newer one has read it. It does not wait until they have left, and wakes
// them beside the wait: one that stands behind others sleeps until they have left. It is given
// up at the end of the wait.
func (c *claim) supersede(wait context.Context, t lease.Ticket) {
	ctx, cancel := tellingUntil(wait, c.store)
	defer cancel()
	pools, err := c.store.List(ctx, t.Pool)
	if wait.Err() != nil {
		return
	}
	if err != nil {
		c.say.notef("cannot send away older waiters of job %q: %v", t.Job, err)
		return
	}
	var told []lease.Entry
	for _, id := range olderWaiters(&pools[0], t) {
		if e := c.sendAway(ctx, id, t); e.Ticket != nil {
			told = append(told, e)
		}
	}
	go stopping.Rouse(context.Background(), stoppingIn(c.store), told)
	if newer := successor(&pools[0], t); newer.ID != "" {
		c.sendAway(ctx, t.ID, newer)
	}
}

// successor is the newest waiter that supersedes the ticket; none has the zero ID. One that
// stands aside may be a place that is kept for a key and has no waiter.
func successor(p *lease.Pool, t lease.Ticket) (newest lease.Ticket) {
	for _, w := range p.Waiters {
		same := w.Ticket.Job == t.Job && w.Ticket.Supersedes && !w.Aside
		if same && t.CameBefore(*w.Ticket) && (newest.ID == "" || newest.CameBefore(*w.Ticket)) {
			newest = *w.Ticket
		}
	}
	return newest
}

// olderWaiters are the waiters of the same job in its pool that are older than the ticket, and
// those that hold slots of this pool already and may wait for those of another.
func olderWaiters(p *lease.Pool, t lease.Ticket) (ids []string) {
	for _, w := range p.Waiters {
		if w.Ticket.Job == t.Job && w.Ticket.CameBefore(t) {
			ids = append(ids, w.ID())
		}
	}
	for _, h := range p.Holders {
		if h.Lease.Job == t.Job && h.Lease.State != lease.Running {
			ids = append(ids, h.Lease.After()...)
		}
	}
	return ids
}

// sendAway tells a waiter to leave because of another one. No ticket: it has left by itself,
// or has its slots.
func (c *claim) sendAway(ctx context.Context, id string, successor lease.Ticket) lease.Entry {
	by := successor.Owner
	m := lease.Message{Kind: lease.MessageSupersede, Stop: lease.Stop{
		By: fmt.Sprintf("%s@%s (pid %d)", text.UserName(successor.UID), by.Host, by.PID), Successor: successor.ID,
	}}
	e, err := c.store.Tell(ctx, id, m)
	switch {
	case errors.Is(err, lease.ErrNotFound):
		return lease.Entry{}
	case err != nil:
		c.say.notef("cannot send away %s: %v", id, err)
		return lease.Entry{}
	}
	c.say.verbosef("sent away %s, an older waiter of job %q", id, successor.Job)
	return e
}
