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

// checkIdle ends the job when a renewal finds that its idle time is over. A job may have called
// 'berth keepalive' for any of its leases, so all of them must have been renewed since then.
func (l life) checkIdle(e event) (life, []effect) {
	if l.IdleTimeout == 0 {
		return l, nil
	}
	l.busyAt = max(l.busyAt, e.keepalive)
	switch left := l.busyAt.Add(l.IdleTimeout).Sub(e.clock); {
	case left > 0:
		return l, []effect{fireIn(idleTimer, left)}
	case e.err != nil: // the job may have been busy, and the store could not tell
		return l, []effect{fireIn(idleTimer, time.Second)}
	}
	if l.leases > 1 && !slices.Contains(l.heard, e.lease) {
		l.heard = append(slices.Clip(l.heard), e.lease)
	}
	if l.leases > 1 && len(l.heard) < l.leases {
		return l, nil
	}
	return l.end(e.at, &TimeLimitError{IdleTimeoutFlag, l.IdleTimeout, l.Signal, l.KillAfter}, l.KillAfter)
}
