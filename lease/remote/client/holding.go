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

// saveAfter is how old a job is before its process is saved: to save those that end sooner,
// and most do, would slow down them and the jobs behind them.
const saveAfter = 50 * time.Millisecond

// Unsaved are the holdings whose job's process the server does not know yet.
type Unsaved[H comparable] struct{ set sync.Map }

// Add adds h, and calls save when its job is old enough.
func (u *Unsaved[H]) Add(h H, save func()) {
	u.set.Store(h, nil)
	time.AfterFunc(saveAfter, save)
}

// Has reports whether h is still unsaved.
func (u *Unsaved[H]) Has(h H) bool {
	_, ok := u.set.Load(h)
	return ok
}

// Remove is called when h is saved, or given back.
func (u *Unsaved[H]) Remove(h H) { u.set.Delete(h) }

// All are those that are unsaved now.
func (u *Unsaved[H]) All() iter.Seq[H] {
	return func(yield func(H) bool) {
		u.set.Range(func(h, _ any) bool { return yield(h.(H)) })
	}
}
