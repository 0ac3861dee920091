// Package clock keeps moments and durations apart: an Instant is a moment on one
// clock, and it has the boot clock, which no user can set.
package clock

import (
	"context"
	"time"
)

// Instant is a moment: nanoseconds since some fixed moment of one clock. 0 is no
// moment: never, or not known. Of two on the same clock the lower is the earlier.
//
// There are two clocks, and instants of one mean nothing on the other: the boot clock
// of this machine (Now), and a store's clock (lease.Store.Clock), which all users of a
// store share.
type Instant int64

// Add returns the instant d later.
func (i Instant) Add(d time.Duration) Instant { return i + Instant(d) }

// Sub returns how much later i is than the other.
func (i Instant) Sub(other Instant) time.Duration { return time.Duration(i - other) }

// String is the time since the clock's fixed moment, as in 26h3m0.5s.
func (i Instant) String() string { return time.Duration(i).String() }

// poll is SleepUntil for a clock that has no timer of its own.
func poll(ctx context.Context, at Instant) {
	for left := at.Sub(Now()); left > 0 && ctx.Err() == nil; left = at.Sub(Now()) {
		select {
		case <-ctx.Done():
		case <-time.After(min(left, time.Second)):
		}
	}
}
