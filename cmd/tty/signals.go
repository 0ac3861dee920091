package tty

import (
	"os"
	"os/signal"
	"slices"
	"syscall"
)

// Signals holds the signals that came and were not taken yet: each once, as the kernel
// keeps them, however many others come. Notify alone drops what finds no room in its
// channel: a process that is busy could lose a TERM among a hundred CONTs.
type Signals struct {
	in    chan os.Signal
	out   chan syscall.Signal
	left  chan []syscall.Signal // those that were not taken, once in is closed
	ready chan struct{}         // closed once Start has caught its signals; nil: it was not called
}

// NewSignals catches nothing yet.
func NewSignals() *Signals {
	return &Signals{in: make(chan os.Signal, 64), out: make(chan syscall.Signal), left: make(chan []syscall.Signal)}
}

// Start catches signals in the background and delivers them until Close. Each costs a
// round trip to a thread of the runtime. first are caught before the others; then, if
// any, is called when all are.
func (s *Signals) Start(first, others []os.Signal, then func()) {
	s.ready = make(chan struct{})
	go func() {
		s.Catch(first)
		s.Catch(others)
		close(s.ready)
		if then != nil {
			then()
		}
		s.run()
	}()
}

// Ready returns when Start has caught its signals, at once if it was not called.
func (s *Signals) Ready() {
	if s.ready != nil {
		<-s.ready
	}
}

// Catch catches these as well. One that was ignored when this process started (nohup, a
// background job of a plain sh) stays ignored, and so the child finds it ignored too.
func (s *Signals) Catch(sigs []os.Signal) {
	for _, sig := range sigs {
		if canCatch && !signal.Ignored(sig) {
			signal.Notify(s.in, sig)
		}
	}
}

// Next delivers one signal after the other.
func (s *Signals) Next() <-chan syscall.Signal { return s.out }

// Requeue has a signal delivered once more, to another loop.
func (s *Signals) Requeue(sig syscall.Signal) { s.in <- sig }

func (s *Signals) run() {
	var pending []syscall.Signal
	for {
		var out chan syscall.Signal
		var first syscall.Signal
		if len(pending) > 0 {
			out, first = s.out, pending[0]
		}
		select {
		case sig, ok := <-s.in:
			if !ok {
				close(s.out)
				s.left <- pending
				return
			}
			pending = alsoPending(pending, sig.(syscall.Signal))
		case out <- first:
			pending = pending[1:]
		}
	}
}

// Close gives the signals back to the kernel and returns those that came before and were
// not taken; none if Start was not called.
func (s *Signals) Close() (left []syscall.Signal) {
	if s.ready == nil {
		return nil
	}
	<-s.ready
	signal.Stop(s.in) // which waits for those on their way, where Reset drops them
	close(s.in)
	return <-s.left
}

// alsoPending adds a signal to those that are pending. A CONT undoes the TSTPs
// before it.
func alsoPending(pending []syscall.Signal, sig syscall.Signal) []syscall.Signal {
	if sig == CONT {
		pending = slices.DeleteFunc(pending, func(p syscall.Signal) bool { return p == TSTP })
	}
	if slices.Contains(pending, sig) {
		return pending
	}
	return append(pending, sig)
}
