package job

import (
	"syscall"
	"time"

	"berth/lease"
	"berth/lease/clock"
)

// state is how far a job has come. Whether its command is stopped is another matter: see
// control.
type state int

const (
	starting    state = iota // nothing runs yet
	running                  // the command runs
	ending                   // the command's whole tree is being ended
	reaping                  // the tree was ended, or cannot be, and only the exit of the command is waited for
	draining                 // the command has exited, and the slot waits for its descendants
	clearing                 // the command has exited, and its descendants are being ended
	handingBack              // of a kept lease: the slots are given back once nothing runs in them
	done                     // nothing is left to wait for
	states                   // how many there are
)

// life is a job from its start to its end. It is plain data: each event gives the next life
// and the effects that are due. Nothing here waits, reads a clock or sends a signal.
type life struct {
	*Spec
	state    state
	result   Result
	killAt   time.Time     // of a tree that is being ended
	exitedAt time.Time     // when the command exited
	busyAt   clock.Instant // the start or the last keepalive, on the store's clock
	keptAt   clock.Instant // the start or the last keepalive that was reported
	leases   int           // that the job has
	heard    []string      // of several leases: those that were renewed since the idle time was over
}

// started: the command runs.
func (l life) started(e event) (life, []effect) {
	switch l.state {
	case starting:
		l.state, l.busyAt, l.keptAt = running, e.clock, e.clock
		effects := []effect{{do: report, record: Record{Kind: Started}}, {do: bind}}
		if l.Timeout > 0 {
			effects = append(effects, fireIn(timeoutTimer, l.Timeout))
		}
		if l.OfLease.Timeout > 0 {
			effects = append(effects, fireIn(leaseTimer, l.OfLease.Left))
		}
		if l.IdleTimeout > 0 {
			effects = append(effects, fireIn(idleTimer, l.IdleTimeout))
		}
		return l, effects
	default:
		return l, nil
	}
}

// exited: the command is gone.
func (l life) exited(e event) (life, []effect) {
	switch l.state {
	case running, ending, reaping:
		l.exitedAt, l.result.Code, l.result.Signal = e.at, e.code, e.signal
	default:
		return l, nil
	}
	switch {
	case l.state == ending:
		l.state = clearing
	case l.state == running && l.HoldTree:
		l.state = draining
		return l, []effect{{do: waitTree}}
	case l.state == running && l.EndLeftovers:
		cleared, effects := l.clear(e.at, nil, l.KillAfter)
		if l.NameLeftovers && l.KillAfter > nameLeftoversAfter {
			effects = append(effects, effect{do: nameLeftovers, after: nameLeftoversAfter})
		}
		return cleared, effects
	default:
		l.state = done
	}
	return l, nil
}

// nameLeftoversAfter is how long leftovers may take to end before a person wonders why berth
// does not.
const nameLeftoversAfter = time.Second

// terminate: a signal came that has no command to go to.
func (l life) terminate(e event) (life, []effect) {
	switch l.state {
	case draining:
		return l.end(e.at, nil, l.KillAfter)
	case clearing:
		// A second signal means at once. A Ctrl-C that ended the command is not the second
		// one, even when this process hears of it after the exit.
		if e.typed && e.at.Sub(l.exitedAt) <= keystrokeDelay {
			return l, nil
		}
		return l.end(e.at, nil, 0)
	default:
		return l, nil
	}
}

// timedOut: the running time is over.
func (l life) timedOut(e event) (life, []effect) {
	return l.end(e.at, l.overdue(TimeoutFlag, l.Timeout), l.KillAfter)
}

// leaseTimedOut: the time is over for which the lease was acquired.
func (l life) leaseTimedOut(e event) (life, []effect) {
	return l.end(e.at, l.overdue(TimeoutFlag, l.OfLease.Timeout), l.KillAfter)
}

// overdue is that a time limit of the job is over.
func (l life) overdue(flag string, after time.Duration) *TimeLimitError {
	return &TimeLimitError{flag, after, l.Signal, l.KillAfter}
}

// renewed: a heartbeat was written, or was not (with an error).
func (l life) renewed(e event) (life, []effect) {
	l, effects, alive := l.hears(e)
	if !alive {
		return l, effects
	}
	l, more := l.checkIdle(e)
	return l, append(effects, more...)
}

// hears is what each renewal brings with it, in a life that has begun and is not over.
func (l life) hears(e event) (_ life, effects []effect, alive bool) {
	switch l.state {
	case starting, done:
		return l, nil, false
	}
	if e.err != nil {
		effects = append(effects, effect{do: report, record: Record{Kind: HeartbeatFailed, Lease: e.lease, Err: e.err}})
	}
	if e.keepalive > l.keptAt {
		l.keptAt = e.keepalive
		effects = append(effects, effect{do: report, record: Record{Kind: Keepalive, Lease: e.lease}})
	}
	return l, effects, true
}

// checkIdle ends the job when a renewal finds that its idle time is over.
func (l life) checkIdle(e event) (life, []effect) {
	l, effects, over := l.idles(e)
	if over {
		return l.end(e.at, l.overdue(IdleTimeoutFlag, l.IdleTimeout), l.KillAfter)
	}
	return l, effects
}

// lost: the lease is lost, or it is given up while there is time to end the job before
// another one may start.
func (l life) lost(e event) (life, []effect) {
	switch l.state {
	case starting, done:
		return l, nil
	}
	l, effects := l.checkIdle(e) // the event may bring a keepalive, too
	if l.RunOnWhenLost {
		return l, append(effects, effect{do: report, record: Record{Kind: Lost, Lease: e.lease, Err: e.err}})
	}
	l, more := l.end(e.at, e.err, e.grace)
	return l, append(effects, more...)
}

// regained: a lost lease was renewed after all.
func (l life) regained(e event) (life, []effect) {
	l, effects := l.renewed(e)
	switch l.state {
	case running, draining:
		return l, append([]effect{{do: report, record: Record{Kind: Regained, Lease: e.lease}}}, effects...)
	default:
		return l, effects
	}
}

// stopRequested: the job is to end, as 'berth stop' requests.
func (l life) stopRequested(e event) (life, []effect) {
	grace := l.KillAfter
	if e.stop.KillAfter != nil {
		grace = *e.stop.KillAfter
	}
	var why error = &lease.StoppedError{Stop: *e.stop}
	if e.stop.TimeLimit != "" {
		why = &TimeLimitError{e.stop.TimeLimit, e.after, l.Signal, l.KillAfter}
	}
	return l.end(e.at, why, grace)
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

// treeGone: nothing is left of the tree, or (with an error) it could not be ended.
func (l life) treeGone(e event) (life, []effect) {
	var effects []effect
	switch l.state {
	case ending:
		l.state = reaping
	case draining, clearing:
		l.state = done
	default:
		return l, nil
	}
	if e.err != nil {
		effects = append(effects, effect{do: report, record: Record{Kind: EndFailed, Err: e.err}})
	}
	return l, effects
}

// leftoversNamed: what the command has left is known by name.
func (l life) leftoversNamed(e event) (life, []effect) {
	switch {
	case l.state == clearing && len(e.left) > 0:
		return l, []effect{{do: report, record: Record{Kind: Leftovers, Left: e.left}}}
	default:
		return l, nil
	}
}

// end ends the whole tree. Once that has begun, another call can only shorten the grace.
func (l life) end(at time.Time, why error, grace time.Duration) (life, []effect) {
	killAt := at.Add(grace)
	switch l.state {
	case running:
		l.state, l.killAt, l.result.Why, l.result.First = ending, killAt, why, firstSignal(l.Signal, grace)
		return l, []effect{{do: endTree, signal: l.Signal, after: grace}}
	case draining:
		return l.clear(at, why, grace)
	case ending, reaping, clearing:
		if !killAt.Before(l.killAt) {
			return l, nil
		}
		l.killAt = killAt
		return l, []effect{{do: killTree, after: grace}}
	default:
		return l, nil
	}
}

// clear ends what the command has left.
func (l life) clear(at time.Time, why error, grace time.Duration) (life, []effect) {
	l.state, l.killAt, l.result.Why = clearing, at.Add(grace), why
	return l, []effect{{do: endTree, signal: l.Signal, after: grace}}
}

// firstSignal is what the end of a tree sends first.
func firstSignal(sig syscall.Signal, grace time.Duration) syscall.Signal {
	if grace == 0 {
		return syscall.SIGKILL
	}
	return sig
}
