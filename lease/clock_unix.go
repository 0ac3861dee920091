//go:build unix && !linux

package lease

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// Boottime does not stand still here during suspend as it does on Linux; it
// never jumps either.
func Boottime() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return time.Duration(ts.Nano())
}

func sleepUntil(ctx context.Context, at time.Duration) { nap(ctx, at) }
