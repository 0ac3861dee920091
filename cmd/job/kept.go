package job

import (
	"errors"

	"berth/lease"
	"berth/limiter"
)

// What follows is the life of a kept lease: starting, running while it is kept, handingBack,
// done. Its subject is another process, or nobody. Nothing of it is ever ended here: what runs
// under the lease is ended by the process that has adopted it.

var ofKept = [eventKinds]func(life, event) (life, []effect){
	started: life.started, exited: life.released, signalled: life.released, renewed: life.keptRenewed, lost: life.keptLost, regained: life.keptRenewed,
	stopRequested: life.keptStopped, timedOut: life.keptTimedOut, idleOver: life.idleOver, triedRelease: life.triedRelease,
}

// released: a signal ends it, or the process is gone that it is for.
func (l life) released(event) (life, []effect) { return l.handBack(nil) }

// keptTimedOut: the time is over for which it is kept.
func (l life) keptTimedOut(event) (life, []effect) {
	return l.handBack(l.overdue(TimeoutFlag, l.Timeout))
}

// keptStopped: the lease is to end, as 'berth stop' requests. What runs under it is told, too.
func (l life) keptStopped(e event) (life, []effect) {
	return l.handBack(&lease.StoppedError{Stop: *e.stop})
}

// keptRenewed: a heartbeat was written, or was not (with an error).
func (l life) keptRenewed(e event) (life, []effect) {
	l, effects, alive := l.hears(e)
	if !alive {
		return l, effects
	}
	next := life.checkKeptIdle
	switch {
	case takenAway(e.err):
		next = life.keptLost
	case e.release || l.state == handingBack:
		next = life.released
	}
	l, more := next(l, e)
	return l, append(effects, more...)
}

// keptLost: the lease is lost. One that only could not be renewed in time may be free for
// others, but it is tried on: if no other process has taken its slots, it is ours again.
func (l life) keptLost(e event) (life, []effect) {
	switch {
	case l.state == starting, l.state == done:
		return l, nil
	case takenAway(e.err), l.state == handingBack:
		return l.handBack(e.err)
	default:
		return l.checkKeptIdle(e)
	}
}

// checkKeptIdle gives the slots back when a renewal finds that the idle time is over.
func (l life) checkKeptIdle(e event) (life, []effect) {
	l, effects, over := l.idles(e)
	if over {
		return l.handBack(l.overdue(IdleTimeoutFlag, l.IdleTimeout))
	}
	return l, effects
}

// takenAway reports whether the store has said that the lease is not ours any more.
func takenAway(err error) bool {
	return errors.Is(err, lease.ErrLost) && !errors.As(err, new(*limiter.ExpiringError))
}

// handBack gives the slots back. why counts if it is the first reason.
func (l life) handBack(why error) (life, []effect) {
	switch l.state {
	case running:
		l.state, l.result.Why = handingBack, why
		return l, []effect{{do: tryRelease}}
	case handingBack:
		return l, []effect{{do: tryRelease}}
	default:
		return l, nil
	}
}

// triedRelease: the slots are free, or another process runs something in them, or they could
// not be given back.
func (l life) triedRelease(e event) (life, []effect) {
	var limit *TimeLimitError
	switch {
	case l.state != handingBack:
		return l, nil
	case !errors.As(e.err, new(*lease.AdoptedError)):
		l.state = done
		return l, nil
	case errors.As(l.result.Why, &limit):
		return l, []effect{{do: tellAdopter, stop: &lease.Stop{TimeLimit: limit.Flag}}}
	default: // it is tried again with each renewal, and when the adopter wakes us
		return l, nil
	}
}
