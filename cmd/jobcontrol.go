package cmd

import (
	"syscall"
	"time"

	"berth/cmd/tty"
	"berth/procwatch"
)

// Ctrl-Z, fg and bg: when we stop after the child, and it goes on after us.

// stopAfter stops us after the child, when a shell is to see a stopped job: we were
// asked to stop ourselves, or the job is in the foreground, where its program may
// have stopped itself to give the terminal back. Else somebody stopped the child
// alone, will continue it alone, and nobody would ever continue us.
//
// A child that is a berth stops itself by STOP.
func (s *supervisor) stopAfter(stop syscall.Signal) {
	if s.ending != nil {
		return
	}
	s.awaitKeystroke()
	switch {
	case s.wasAsked(), stop == tty.TTIN, stop == tty.TTOU, stop == tty.TSTP && tty.Foreground():
	default:
		return
	}
	s.ctl.Take()
	if s.child.ID().State() == procwatch.Stopped && !s.continuedSoon() {
		s.halt()
	}
}

// askedTime is how long a program may take to stop from a TSTP. One that never
// does (it ignores TSTP, or its group is an orphaned one, which the kernel does
// not stop) may be stopped by somebody else later, alone.
const askedTime = 5 * time.Second

func (s *supervisor) wasAsked() bool { return s.ctl.RequestedSince(time.Now().Add(-askedTime)) }

// continuedSoon reports whether a CONT comes right after the stop.
func (s *supervisor) continuedSoon() bool {
	before, late := s.resumed, time.After(tty.ContGrace)
	for s.resumed == before {
		select {
		case sig := <-s.signals.Next():
			s.signal(sig)
		case <-late:
			return false
		}
	}
	return true
}

// keystrokeTime is how much later than the child we may hear of a Ctrl-Z.
const keystrokeTime = 50 * time.Millisecond

// awaitKeystroke makes sure that the terminal's TSTP, which stopped the child,
// has come to us, too. Found after we went on, perhaps in the background, it
// would look like somebody's 'kill -TSTP' and stop the child once more.
func (s *supervisor) awaitKeystroke() {
	late := time.After(keystrokeTime)
	for !s.wasAsked() && tty.Foreground() {
		select {
		case sig := <-s.signals.Next():
			s.signal(sig)
		case <-late:
			return
		}
	}
}

// contTime is how much later than us we may hear that the child continued.
const contTime = 20 * time.Millisecond

// passCont continues the child, if whoever sent us CONT has not done so: a
// shell's fg is for the whole group, and another CONT that comes late would undo
// the Ctrl-Z that was typed meanwhile.
func (s *supervisor) passCont() {
	if s.stopped && s.stops == s.contStops {
		_ = s.child.Signal(tty.CONT)
	}
}
