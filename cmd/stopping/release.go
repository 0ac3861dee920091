package stopping

import (
	"fmt"
	"time"

	"berth/lease"
)

const (
	// rouseFor is how long a keeper is roused while something runs under its lease: it may not
	// have listened at first. After that it hears when the adoption ends.
	rouseFor = 2 * time.Second
	// keeperTime is how long a keeper may take beyond its heartbeats.
	keeperTime = 10 * time.Second
)

// GivenBack waits until a kept lease, which was told to be given back, is over, and all that were
// acquired together with it. orphan is told of a lease whose keeper is gone, and which is not
// waited for. What runs under a lease may take as long as it likes.
func GivenBack(st Store, told *lease.Lease, orphan func(*lease.Lease)) []error {
	begun := time.Now()
	left := []*ending{{id: told.ID, pause: minPause}}
	for _, id := range told.Together {
		if id != told.ID {
			left = append(left, &ending{id: id, pause: minPause})
		}
	}
	return untilOver(st, left, maxPause, func(c *ending, e *lease.Entry) (over bool, err error) {
		if e == nil || e.Lease == nil {
			return true, nil
		}
		l, now := e.Lease, time.Now()
		if c.until.IsZero() || l.Adopter != nil { // only the keeper can be the reason from here on
			c.until = now.Add(st.hearsWithin(l) + keeperTime)
		}
		switch {
		case l.State == lease.Orphaned && l.Adopter == nil:
			orphan(l)
			return true, nil
		case now.After(c.until):
			return true, fmt.Errorf("the keeper of %s (pid %d on %s) does not react", l.ID, l.Owner.PID, l.Owner.Host)
		case l.Adopter == nil || now.Sub(begun) < rouseFor:
			c.rouse(st.Mark(c.id), l.Owner, nil)
		}
		return false, nil
	})
}
