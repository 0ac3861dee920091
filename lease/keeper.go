package lease

import (
	"context"
	"time"
)

// Keep renews h every interval, and whenever now says so, until ctx ends, and
// hands what each Renew learned to tell, one call at a time. An error does not
// end it: the next beat tries again, because a store that is out of reach for
// a moment must not cost a healthy job its heartbeat for good.
func Keep(ctx context.Context, h Holding, every time.Duration, now <-chan struct{}, tell func(Signs, error)) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-now:
		}
		tell(h.Renew(ctx))
	}
}
