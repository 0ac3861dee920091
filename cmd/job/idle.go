package job

import (
	"slices"
	"time"
)

// idleOver: the idle time is over, unless the job has called 'berth keepalive': the next
// renewal tells.
func (l life) idleOver(event) (life, []effect) {
	switch l.state {
	case starting, done:
		return l, nil
	default:
		l.heard = nil
		return l, []effect{{do: renew}}
	}
}

// idles reports whether a renewal finds that the idle time is over; else it may set the timer
// again. A job may have called 'berth keepalive' for any of its leases, so all of them must
// have been renewed since then.
func (l life) idles(e event) (_ life, effects []effect, over bool) {
	if l.IdleTimeout == 0 {
		return l, nil, false
	}
	l.busyAt = max(l.busyAt, e.keepalive)
	switch left := l.busyAt.Add(l.IdleTimeout).Sub(e.clock); {
	case left > 0:
		return l, []effect{fireIn(idleTimer, left)}, false
	case e.err != nil: // the job may have been busy, and the store could not tell
		return l, []effect{fireIn(idleTimer, time.Second)}, false
	}
	if l.leases > 1 && !slices.Contains(l.heard, e.lease) {
		l.heard = append(slices.Clip(l.heard), e.lease)
	}
	return l, nil, l.leases <= 1 || len(l.heard) >= l.leases
}
