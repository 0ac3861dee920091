package job

import (
	"syscall"
	"time"

	"berth/cmd/tty"
)

// controlState is where job control is: Ctrl-Z, fg and bg.
type controlState int

const (
	together      controlState = iota // the command runs, as far as we were told
	apart                             // the command is stopped, and this process is not
	keystroke                         // the same, and a TSTP that was typed may be on its way to us
	settling                          // the same, and this process is suspended unless a CONT comes
	commandGone                       // the command has exited
	goneSettling                      // the same, and this process is suspended unless a CONT comes
	controlStates                     // how many there are
)

// control decides when this process is suspended after its command has stopped, and when
// the command is continued after this process was resumed. It is plain data like life.
//
// The shell has to see a suspended job when it was this process that was to be suspended,
// and when the job is in the foreground: there a program may stop itself to give the
// terminal back. Otherwise someone has stopped the command alone and will continue it
// alone: nothing would ever resume this process.
type control struct {
	state      controlState
	suspension tty.Suspension // what was requested of this process
	by         syscall.Signal // the signal that stopped the command
	stops      int            // how often the command has stopped
	atCont     int            // what stops was when the last CONT came
	terminal   bool           // there is one, whose shell sends CONT to the whole group
	ending     bool           // the tree is being ended: a suspended berth could not kill what is left
}

const (
	// keystrokeDelay is how much later than the command this process may hear of a key.
	keystrokeDelay = 50 * time.Millisecond
	// contDelay is how much later than its own CONT this process may hear that the command
	// goes on.
	contDelay = 20 * time.Millisecond
	// requestAge is how long a command may take to stop after a TSTP. One that never does
	// (it ignores TSTP, or its process group is orphaned and the kernel does not stop it)
	// may later be stopped alone by someone else.
	requestAge = 5 * time.Second
)

// stopped: the command has stopped.
func (c control) stopped(e event) (control, []effect) {
	switch c.state {
	case together, apart:
		c.stops++
		c.state = apart
		return c.consider(e.at, e.signal, e.foreground)
	case keystroke, settling: // we were not told that it went on in between
		c.stops++
		return c, nil
	default:
		return c, nil
	}
}

// consider decides whether this process follows the command. A Ctrl-Z that has stopped the
// command sends a TSTP to this process, too, and that is waited for. If this process heard of
// it only after an fg or bg, it would look like a 'kill -TSTP' and suspend the command again.
func (c control) consider(at time.Time, by syscall.Signal, foreground bool) (control, []effect) {
	switch {
	case c.ending:
		return c, nil
	case c.requested(at) || !foreground:
		return c.followIfSeen(at, by, foreground)
	}
	c.state, c.by = keystroke, by
	return c, []effect{fireIn(keystrokeTimer, keystrokeDelay)}
}

// followIfSeen has this process suspended after the command, if the shell is to see that.
func (c control) followIfSeen(at time.Time, by syscall.Signal, foreground bool) (control, []effect) {
	c.state = apart
	if !c.requested(at) && by != tty.TTIN && by != tty.TTOU && (by != tty.TSTP || !foreground) {
		return c, nil
	}
	return c.settle(settling)
}

func (c control) settle(s controlState) (control, []effect) {
	c.suspension.Take()
	c.state = s
	return c, []effect{fireIn(settleTimer, tty.ContGrace)}
}

func (c control) requested(at time.Time) bool {
	return c.suspension.RequestedSince(at.Add(-requestAge))
}

// continued: the command goes on.
func (c control) continued(event) (control, []effect) {
	switch c.state {
	case apart, keystroke, settling:
		c.state = together
		return c, nil
	default:
		return c, nil
	}
}

// suspend: a TSTP came.
func (c control) suspend(e event) (control, []effect) {
	if !c.suspension.Request(e.at, e.typed) {
		return c, nil
	}
	var effects []effect
	if !e.typed {
		effects = []effect{{do: forward, signal: e.signal}}
	}
	switch c.state {
	case apart: // the command was quicker, or stopped before
		c, more := c.consider(e.at, e.signal, e.typed)
		return c, append(effects, more...)
	case keystroke:
		c, more := c.followIfSeen(e.at, c.by, e.typed)
		return c, append(effects, more...)
	case commandGone:
		if c.ending {
			c.suspension.Take()
			return c, nil
		}
		return c.settle(goneSettling)
	case goneSettling:
		c.suspension.Take()
		return c, nil
	default:
		return c, effects
	}
}

// resume: a CONT came. 'berth stop' sends one to have the lease renewed.
func (c control) resume(e event) (control, []effect) {
	c.suspension.Resume(e.at)
	effects := []effect{{do: renew}}
	switch c.state {
	case commandGone, goneSettling:
		c.state = commandGone
		return c, effects
	case settling:
		c.state = apart
	default:
	}
	if !c.terminal {
		return c, append(effects, effect{do: forward, signal: e.signal})
	}
	c.atCont = c.stops
	return c, append(effects, fireIn(contTimer, contDelay))
}

// contDue: the command is continued, unless the CONT that this process got was for both, as
// that of a shell's fg is. A second one would come late and undo a Ctrl-Z typed since.
func (c control) contDue(event) (control, []effect) {
	switch c.state {
	case apart, keystroke, settling:
		if c.stops > c.atCont {
			return c, nil
		}
		return c, []effect{{do: forward, signal: tty.CONT}}
	default:
		return c, nil
	}
}

// keystrokeDue: no TSTP came.
func (c control) keystrokeDue(e event) (control, []effect) {
	switch c.state {
	case keystroke:
		return c.followIfSeen(e.at, c.by, e.foreground)
	default:
		return c, nil
	}
}

// settled: no CONT came.
func (c control) settled(e event) (control, []effect) {
	switch c.state {
	case settling:
		c.state = apart
		if !e.stillStopped {
			return c, nil
		}
		return c, []effect{{do: suspendSelf}}
	case goneSettling:
		c.state = commandGone
		return c, []effect{{do: suspendSelf}}
	default:
		return c, nil
	}
}

// exited: the command is gone.
func (c control) exited(event) (control, []effect) {
	c.state = commandGone
	return c, nil
}

// endBegun: the tree is being ended.
func (c control) endBegun() control {
	c.ending = true
	switch c.state {
	case keystroke, settling:
		c.state = apart
	case goneSettling:
		c.state = commandGone
	default:
	}
	return c
}
