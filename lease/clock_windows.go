package lease

import (
	"context"
	"time"
)

var started = time.Now()

// Boottime is the time since this program was started here.
func Boottime() time.Duration { return time.Since(started) }

func sleepUntil(ctx context.Context, at time.Duration) { nap(ctx, at) }
