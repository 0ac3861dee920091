package lease

import (
	"context"
	"time"
)

// nap is sleepUntil for a clock that has no timer of its own.
func nap(ctx context.Context, at time.Duration) {
	for left := at - Boottime(); left > 0 && ctx.Err() == nil; left = at - Boottime() {
		select {
		case <-ctx.Done():
		case <-time.After(min(left, time.Second)):
		}
	}
}
