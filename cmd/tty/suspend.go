package tty

import (
	"syscall"
	"time"
)

// Suspension is what TSTP and CONT have requested of this process, as Ctrl-Z and fg send
// them. The zero value: nothing. It is plain data, for one goroutine at a time.
type Suspension struct {
	requested time.Time // of the TSTP that was not followed yet; zero: none
	resumed   time.Time // of the last CONT
}

const (
	// reorderWindow is how long after a CONT a TSTP may come that was sent before it:
	// the runtime passes signals on in the order of their numbers.
	reorderWindow = 2 * time.Millisecond
	// ContGrace is how long to wait after a TSTP for a CONT that cancels it, before
	// this process suspends itself. After that nothing would resume it.
	ContGrace = 5 * time.Millisecond
)

// Request is told of a TSTP, and reports whether it stands: a CONT that was sent later may
// have come first. A typed one always stands, because fg and Ctrl-Z come in that order.
func (s *Suspension) Request(now time.Time, typed bool) bool {
	if now.Sub(s.resumed) < reorderWindow && !typed {
		return false
	}
	s.requested = now
	return true
}

// Resume is told of a CONT. It cancels a request.
func (s *Suspension) Resume(now time.Time) { s.requested, s.resumed = time.Time{}, now }

// Requested reports whether there is a request.
func (s *Suspension) Requested() bool { return !s.requested.IsZero() }

// RequestedSince reports whether there is one that is not older than that moment.
func (s *Suspension) RequestedSince(t time.Time) bool { return s.Requested() && !s.requested.Before(t) }

// Take reports whether this process is to be suspended now; the request is done with.
func (s *Suspension) Take() bool {
	was := s.Requested()
	s.requested = time.Time{}
	return was
}

// Follow does what a signal requests of a process that has no command: it calls suspend
// where this process is to be suspended, and returns the signal that ends it, or 0. It waits
// for a CONT itself, because its callers have no loop in which they could.
func (s *Suspension) Follow(sig syscall.Signal, next <-chan syscall.Signal, suspend func()) (ended syscall.Signal) {
	switch ClassOf(sig, Alone) {
	case Resume:
		s.Resume(time.Now())
	case Terminate:
		return sig
	case Suspend:
		if !s.Request(time.Now(), Foreground()) {
			return 0
		}
		if ended = s.await(next); ended == 0 && s.Take() {
			suspend()
		}
	}
	return ended
}

// await waits for a CONT that cancels the request, and for a signal that ends this
// process, which it returns.
func (s *Suspension) await(next <-chan syscall.Signal) (ended syscall.Signal) {
	for late := time.After(ContGrace); s.Requested(); {
		select {
		case sig := <-next:
			switch ClassOf(sig, Alone) {
			case Resume:
				s.Resume(time.Now())
			case Terminate:
				return sig
			}
		case <-late:
			return 0
		}
	}
	return 0
}
