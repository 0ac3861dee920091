package clock

import (
	"context"
	"time"
)

var started = time.Now()

// Now counts from the start of this program.
func Now() Instant { return Instant(time.Since(started)) }

// SleepUntil returns at an instant of this clock, or when ctx ends.
func SleepUntil(ctx context.Context, at Instant) { poll(ctx, at) }
