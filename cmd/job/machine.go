package job

import (
	"syscall"
	"time"

	"berth/cmd/tty"
	"berth/lease"
	"berth/lease/clock"
)

// machine is the state of a job: its life and, independent of that, its job control. It is
// plain data: on returns the effects that are due, and has none itself.
type machine struct {
	life    life
	control control
}

// event is what happened: to the command, to this process, to the lease, or a timer.
type event struct {
	kind   eventKind
	at     time.Time
	signal syscall.Signal // that came, or that stopped or ended the command
	code   int            // of exited

	typed        bool // of signalled: the terminal sent it, also to the command
	foreground   bool // of stopped and keystrokeDue: our process group has the terminal
	stillStopped bool // of settled: the command is

	lease     string        // of what comes from a lease: its id
	clock     clock.Instant // the store's, of what comes from a lease
	keepalive clock.Instant
	stop      *lease.Stop
	release   bool          // the lease is to be given back, says the store
	after     time.Duration // of a stop by a time limit: how long that is
	grace     time.Duration // of lost
	left      []string      // of leftoversNamed
	err       error
}

type eventKind int

const (
	nothing eventKind = iota // never happens: what is not set is not mistaken for an event
	started
	stopped
	continued
	exited
	signalled
	renewed
	lost
	regained
	stopRequested
	treeGone
	timedOut
	leaseTimedOut
	idleOver
	leftoversNamed
	contDue
	keystrokeDue
	settled
	triedRelease
	leftUs
	eventKinds // how many there are
)

// effect is what is to be done.
type effect struct {
	do     deed
	signal syscall.Signal // of forward and endTree
	timer  timer          // of setTimer
	after  time.Duration
	record Record
	stop   *lease.Stop // of tellAdopter
}

type deed int

const (
	setTimer      deed = iota // has the timer fire after that time, and not before
	bind                      // binds the lease to the command
	renew                     // renews the lease now
	forward                   // sends the signal to the command
	suspendSelf               // suspends this process
	endTree                   // sends the signal to the whole tree, and KILL after that time
	killTree                  // sends KILL to the tree after that time
	waitTree                  // waits until nothing is left of the tree
	nameLeftovers             // finds out after that time what the leftovers are
	report                    // gives the record to the sinks
	tryRelease                // gives the slots of a kept lease back, unless something runs in them
	tellAdopter               // tells the process that runs something under a kept lease to stop
	deeds                     // how many there are
)

type timer int

const (
	timeoutTimer timer = iota
	leaseTimer
	idleTimer
	contTimer
	keystrokeTimer
	settleTimer
	timers // how many there are
)

// fires is the event of each timer.
var fires = [timers]eventKind{
	timeoutTimer: timedOut, leaseTimer: leaseTimedOut, idleTimer: idleOver, contTimer: contDue,
	keystrokeTimer: keystrokeDue, settleTimer: settled,
}

func fireIn(t timer, d time.Duration) effect { return effect{do: setTimer, timer: t, after: d} }

var ofLife = [eventKinds]func(life, event) (life, []effect){
	started: life.started, exited: life.exited, renewed: life.renewed, lost: life.lost, regained: life.regained,
	signalled: life.terminate, stopRequested: life.stopRequested, leftUs: life.leftUs, treeGone: life.treeGone, timedOut: life.timedOut, leaseTimedOut: life.leaseTimedOut, idleOver: life.idleOver, leftoversNamed: life.leftoversNamed,
}

// means is what an event means for this life; nil: nothing. Of the signals it is one that ends
// what does not go to a command.
func (l life) means(kind eventKind) func(life, event) (life, []effect) {
	if l.Kept {
		return ofKept[kind]
	}
	return ofLife[kind]
}

var ofControl = [eventKinds]func(control, event) (control, []effect){
	stopped: control.stopped, continued: control.continued, exited: control.exited,
	contDue: control.contDue, keystrokeDue: control.keystrokeDue, settled: control.settled,
}

// on is the next machine after an event, and what is to be done.
func (m machine) on(e event) (machine, []effect) {
	toLife, toControl := m.life.means(e.kind), ofControl[e.kind]
	if e.kind == signalled {
		class := tty.ClassOf(e.signal, m.life.phase())
		if class != tty.Terminate {
			toLife = nil
		}
		switch {
		case class == tty.Terminate:
		case m.life.Kept: // it is no part of anybody's job control
			return m, wakenBy(class)
		case class == tty.Suspend:
			toControl = control.suspend
		case class == tty.Resume:
			toControl = control.resume
		case class == tty.Forward:
			if !e.typed { // else the command has it from the terminal
				return m, []effect{{do: forward, signal: e.signal}}
			}
		}
	}
	var effects []effect
	if toLife != nil {
		m.life, effects = toLife(m.life, e)
	}
	if m.life.ends() && !m.control.ending {
		m.control = m.control.endBegun()
	}
	if toControl != nil {
		var more []effect
		m.control, more = toControl(m.control, e)
		effects = append(effects, more...)
	}
	return m, effects
}

// wakenBy is what a signal means for the keeper of a lease. A CONT says that something may
// have changed.
func wakenBy(class tty.Class) []effect {
	if class == tty.Resume {
		return []effect{{do: renew}}
	}
	return nil
}

// phase decides what signals are for.
func (l life) phase() tty.Phase {
	if l.Kept {
		return tty.Alone
	}
	switch l.state {
	case draining, clearing, done:
		return tty.Leftover
	default:
		return tty.Running
	}
}

// ends reports whether the tree is being ended.
func (l life) ends() bool {
	switch l.state {
	case ending, reaping, clearing:
		return true
	default:
		return false
	}
}
