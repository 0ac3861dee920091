package client

import (
	"fmt"
	"iter"
	"sync"
	"time"

	"berth/lease"
)

const (
	// ReleaseFor is how long a holding is given back, or the line is left, through an outage:
	// the end of the caller waits for it.
	ReleaseFor = 5 * time.Second
	// AsideFor is how long a waiter that is going to be suspended steps aside through an
	// outage: a shell waits for it.
	AsideFor = time.Second
)

// NotReleased is the error of a Release that failed.
func NotReleased(l lease.Lease, err error) error {
	return fmt.Errorf("cannot give back slot %d of pool %s, which is free again when its lease has ended: %w", l.Slots[0], l.Pool, err)
}

// NotLeft is the error of a Leave that failed.
func NotLeft(pool string, err error) error {
	return fmt.Errorf("cannot leave the line of pool %s: %w", pool, err)
}

// recordAfter is how old a job is before its process is recorded. Most jobs end sooner, and
// to record them would slow down them and the jobs behind them.
const recordAfter = 50 * time.Millisecond

// Unrecorded are the holdings whose job's process the server does not know yet.
type Unrecorded[H comparable] struct{ set sync.Map }

// Add adds h, and calls record when its job is old enough.
func (u *Unrecorded[H]) Add(h H, record func()) {
	u.set.Store(h, nil)
	time.AfterFunc(recordAfter, record)
}

// Has reports whether h is still unrecorded.
func (u *Unrecorded[H]) Has(h H) bool {
	_, ok := u.set.Load(h)
	return ok
}

// Remove is called when h is recorded, or given back.
func (u *Unrecorded[H]) Remove(h H) { u.set.Delete(h) }

// All are those that are unrecorded now.
func (u *Unrecorded[H]) All() iter.Seq[H] {
	return func(yield func(H) bool) {
		u.set.Range(func(h, _ any) bool { return yield(h.(H)) })
	}
}
