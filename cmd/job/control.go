package job

import (
	"syscall"
	"time"

	"berth/cmd/tty"
)

// controlState is where job control is: Ctrl-Z, fg and bg.
type controlState int

const (
	together         controlState = iota // the command runs, as far as its events tell
	apart                                // the command is suspended, and this process is not
	keystroke                            // it was suspended, and a TSTP for us may be on its way
	settling                             // this process is about to be suspended after the command
	leftover                             // the command has exited
	leftoverSettling                     // it has, and this process is about to be suspended
	controlStates                        // how many there are
)

// control decides when this process is suspended after its command, and when the command
// is resumed after this process. It is plain data like life.
//
// A shell has to see a suspended job when this process was requested to suspend itself,
// or when the job is in the foreground: there its program may have suspended itself to
// give the terminal back. Else somebody suspended the command alone and will resume it
// leftover, and nothing would ever resume us.
type control struct {
	state      controlState
	suspension tty.Suspension
	by         syscall.Signal // that suspended the command, in keystroke
	stops      int            // how often the command was suspended
	atCont     int            // stops when a CONT came to us
	session    bool           // there is a terminal, whose shell sends CONT to the whole group
	ending     bool           // the tree is being ended: suspended, we could not kill what is left
}

const (
	// keystrokeDelay is how much later than the command we may hear of what was typed.
	keystrokeDelay = 50 * time.Millisecond
	// contDelay is how much later than of our own CONT we may hear that the command
	// was resumed.
	contDelay = 20 * time.Millisecond
	// requestAge is how long a program may take to suspend itself after a TSTP. One that
	// never does (it ignores TSTP, or its group is an orphaned one, which the kernel does
	// not suspend) may be suspended by somebody else later, leftover.
	requestAge = 5 * time.Second
)

// stopped: the command was suspended.
func (c control) stopped(e event) (control, []effect) {
	switch c.state {
	case together, apart:
		c.stops++
		c.state = apart
		return c.consider(e.at, e.signal, e.typed)
	case keystroke, settling: // a resumption in between went unseen
		c.stops++
		return c, nil
	default:
		return c, nil
	}
}

// consider is whether this process is to be suspended after the command. A typed TSTP
// that suspended the command must have come to us, too, before that: found after we went
// on, perhaps in the background, it would look like somebody's 'kill -TSTP' and suspend
// the command once more.
func (c control) consider(at time.Time, by syscall.Signal, foreground bool) (control, []effect) {
	switch {
	case c.ending:
		return c, nil
	case c.requested(at) || !foreground:
		return c.follow(at, by, foreground)
	}
	c.state, c.by = keystroke, by
	return c, []effect{after(keystrokeTimer, keystrokeDelay)}
}

// follow suspends this process after the command, if it is to be, once no CONT comes.
func (c control) follow(at time.Time, by syscall.Signal, foreground bool) (control, []effect) {
	c.state = apart
	if !c.requested(at) && by != tty.TTIN && by != tty.TTOU && (by != tty.TSTP || !foreground) {
		return c, nil
	}
	return c.settle(settling)
}

func (c control) settle(s controlState) (control, []effect) {
	c.suspension.Take()
	c.state = s
	return c, []effect{after(settleTimer, tty.ContGrace)}
}

func (c control) requested(at time.Time) bool {
	return c.suspension.RequestedSince(at.Add(-requestAge))
}

// continued: the command was resumed.
func (c control) continued(event) (control, []effect) {
	switch c.state {
	case apart, keystroke, settling:
		c.state = together
	}
	return c, nil
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
	case apart: // the command was quicker than we, or suspended before
		c, more := c.consider(e.at, e.signal, e.typed)
		return c, append(effects, more...)
	case keystroke:
		c, more := c.follow(e.at, c.by, e.typed)
		return c, append(effects, more...)
	case leftover:
		if c.ending {
			c.suspension.Take()
			return c, nil
		}
		return c.settle(leftoverSettling)
	case leftoverSettling:
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
	case leftover, leftoverSettling:
		c.state = leftover
		return c, effects
	case settling:
		c.state = apart
	}
	if !c.session {
		return c, append(effects, effect{do: forward, signal: e.signal})
	}
	c.atCont = c.stops
	return c, append(effects, after(contTimer, contDelay))
}

// contDue: the command is resumed, if it was not by whoever resumed us: a shell's fg is for
// the whole group, and another CONT that comes late would undo a Ctrl-Z typed since.
func (c control) contDue(event) (control, []effect) {
	switch c.state {
	case apart, keystroke, settling:
		if c.stops == c.atCont {
			return c, []effect{{do: forward, signal: tty.CONT}}
		}
	}
	return c, nil
}

// keystrokeDue: no TSTP came.
func (c control) keystrokeDue(e event) (control, []effect) {
	switch c.state {
	case keystroke:
		return c.follow(e.at, c.by, e.typed)
	default:
		return c, nil
	}
}

// settled: no CONT came.
func (c control) settled(e event) (control, []effect) {
	switch c.state {
	case settling:
		c.state = apart
		if e.stopped {
			return c, []effect{{do: suspendSelf}}
		}
	case leftoverSettling:
		c.state = leftover
		return c, []effect{{do: suspendSelf}}
	}
	return c, nil
}

// exited: the command is gone.
func (c control) exited(event) (control, []effect) {
	c.state = leftover
	return c, nil
}

// endBegun: the tree is being ended.
func (c control) endBegun() control {
	c.ending = true
	switch c.state {
	case keystroke, settling:
		c.state = apart
	case leftoverSettling:
		c.state = leftover
	}
	return c
}
