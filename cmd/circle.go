package cmd

import (
	"context"
	"slices"
	"time"

	"berth/cmd/open"
	"berth/cmd/view"
	"berth/lease"
	"berth/procwatch"
)

// circles are the circular waits in a store. With an error they are those in the pools that
// could be read.
func circles(ctx context.Context, st *open.Store) ([]lease.Circle, error) {
	pools, err := st.List(ctx)
	return lease.Circles(pools, aboveHere()), err
}

// aboveHere names the ancestors of a process, as far as they are seen from here. It reads those
// of each process once.
func aboveHere() func(lease.Process) []lease.Process {
	above := map[lease.Process][]lease.Process{}
	return func(p lease.Process) []lease.Process {
		all, known := above[p]
		if !known {
			for _, id := range procwatch.ID(p).Above() {
				all = append(all, lease.Process(id))
			}
			above[p] = all
		}
		return all
	}
}

// mayCircle reports whether a waiter can be in a circular wait: others can wait for it only if
// it holds something, or is a part of a job that does. The others are spared the look.
func mayCircle(q *lease.Request) bool {
	return len(q.Together) > 1 || len(q.Inside) > 0 || q.Tied != nil
}

// circleLook is how long the look for a circle may take: nothing waits for it.
const circleLook = 5 * time.Second

// circleWatch looks whether a waiter is in a circular wait, and says each circle once.
func circleWatch(st *open.Store, say *speaker) func(lease.Ticket) func() {
	last := ""
	return func(t lease.Ticket) func() {
		ctx, cancel := context.WithTimeout(context.Background(), circleLook)
		defer cancel()
		found, _ := circles(ctx, st)
		i := slices.IndexFunc(found, func(c lease.Circle) bool { return c.Contains(t.ID) })
		if i < 0 || view.Circle(found[i]) == last {
			return nil
		}
		last = view.Circle(found[i])
		return func() {
			say.notef("%s", last)
			say.advise("berth stop " + found[i].Victim())
		}
	}
}
