package job

import (
	"errors"

	"berth/lease"
	"berth/limiter"
)

// What follows is the life of a kept lease: starting, running while it is kept, handingBack,
// done. Its subject is another process, or nobody. Nothing of it is ever ended here: what runs
// under the lease is ended by the process that has adopted it.

// renewedKept: a heartbeat was written, or was not (with an error).
func (l life) renewedKept(e event) (life, []effect) {
	switch {
	case takenAway(e.err):
		return l.lostKept(e)
	case e.release || l.state == handingBack:
		return l.handBack(nil)
	default:
		return l.checkIdle(e)
	}
}

// lostKept: the lease is lost. One that only could not be renewed in time may be free for
// others, but it is tried on: if no other process has taken its slots, it is ours again.
func (l life) lostKept(e event) (life, []effect) {
	switch {
	case takenAway(e.err), l.state == handingBack:
		return l.handBack(e.err)
	default:
		return l.checkIdle(e)
	}
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

// leftUs: the command goes on without us, as the keeper of a lease does.
func (l life) leftUs(event) (life, []effect) {
	switch l.state {
	case running, ending:
		l.state = done
	default:
	}
	return l, nil
}
