package stopping

import (
	"context"
	"slices"
	"time"

	"berth/cmd/tty"
	"berth/lease"
	"berth/procwatch"
)

// RouseBerth sends CONT to the berth of a job, which shows that mark: it then reads what it was
// told, even if it was stopped. Another process that a record names gets none: it may have been
// stopped on purpose.
func RouseBerth(p lease.Process, mark string) {
	if p := procwatch.ID(p); p.Marked(mark) {
		_ = p.Send(tty.CONT)
	}
}

// Rouse wakes waiters that were told to leave their line until they have left it, for a minute
// at most. One that has got its slots by then is left alone.
func Rouse(ctx context.Context, st Store, told []lease.Entry) {
	ctx, cancel := context.WithTimeout(ctx, waiterTime)
	defer cancel()
	var left []*ending
	for _, e := range told {
		left = append(left, &ending{id: e.ID(), pause: minPause})
	}
	for pause := minPause; len(left) > 0 && ctx.Err() == nil; pause = min(2*pause, maxPause) {
		found, err := st.List(ctx, poolsOf(left)...)
		if err != nil {
			return
		}
		now := entries(found)
		left = slices.DeleteFunc(left, func(c *ending) bool {
			e := now[c.id]
			if e == nil || e.Ticket == nil {
				return true
			}
			c.rouse(st.Mark(c.id), e.Ticket.Owner, nil)
			return false
		})
		time.Sleep(pause)
	}
}
