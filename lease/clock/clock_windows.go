package clock

import (
	"context"

	"golang.org/x/sys/windows"
)

// Now is the time since the start of the machine. It goes on during suspend, and setting
// the time does not move it.
func Now() Instant { return Instant(windows.DurationSinceBoot()) }

// SleepUntil returns at an instant of this clock, or when ctx ends.
func SleepUntil(ctx context.Context, at Instant) { poll(ctx, at) }
