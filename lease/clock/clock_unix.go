//go:build unix && !linux

package clock

import (
	"context"

	"golang.org/x/sys/unix"
)

// Now is the present on a clock that never jumps. Unlike Linux's boot clock it may
// stand still during suspend.
func Now() Instant {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return Instant(ts.Nano())
}

// SleepUntil returns at an instant of this clock, or when ctx ends.
func SleepUntil(ctx context.Context, at Instant) { poll(ctx, at) }
