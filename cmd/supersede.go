package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"

	"berth/cmd/stopping"
	"berth/cmd/text"
	"berth/lease"
)

// supersede sends away all waiters of the same job that stand before the ticket in time. Of
// several that do this at once, the last to come is told by none of them, and all others are
// told by it: so one stays. It does not wait until they have left, and wakes them beside the
// wait: one that stands behind others sleeps until they have left.
func (c *claim) supersede(t lease.Ticket) {
	ctx, cancel := telling(c.store)
	defer cancel()
	pools, err := c.store.List(ctx, t.Pool)
	if err != nil {
		c.say.notef("cannot send away older waiters of job %q: %v", t.Job, err)
		return
	}
	m := lease.Message{Kind: lease.MessageSupersede, Stop: lease.Stop{
		By: fmt.Sprintf("%s (pid %d)", text.Me(), os.Getpid()), Successor: t.ID,
	}}
	var told []lease.Entry
	for _, w := range pools[0].Waiters {
		if w.Ticket.Job != t.Job || w.Ticket.Seq >= t.Seq {
			continue
		}
		_, err := c.store.Tell(ctx, w.ID(), m)
		switch {
		case errors.Is(err, lease.ErrNotFound): // it has left, or has its slots
		case err != nil:
			c.say.notef("cannot send away %s: %v", w.ID(), err)
		default:
			told = append(told, w)
			c.say.verbosef("sent away %s, an older waiter of job %q", w.ID(), t.Job)
		}
	}
	go stopping.Rouse(context.Background(), stoppingIn(c.store), told)
}
