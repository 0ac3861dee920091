package cmd

import (
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// What signals mean to berth, and how they are heard. Nothing here knows of a job
// or a store.

// class is what is to be done about a signal.
type class int

const (
	ignore    class = iota
	suspend         // this process stops, as Ctrl-Z asks
	resume          // it goes on, or does not stop after all
	terminate       // what it does comes to its end
	forward         // it is the command's
)

// phase is what this process has to look after.
type phase int

const (
	alone    phase = iota // no command: it waits, or only looks
	running               // a command
	leftover              // what the command left behind
)

// classes is the one table of it.
var classes = map[syscall.Signal][3]class{
	syscall.SIGINT:  {alone: terminate, running: forward, leftover: terminate},
	syscall.SIGTERM: {alone: terminate, running: forward, leftover: terminate},
	syscall.SIGHUP:  {alone: terminate, running: forward, leftover: terminate},
	syscall.SIGQUIT: {alone: terminate, running: forward, leftover: terminate},
	sigUSR1:         {alone: terminate, running: forward, leftover: ignore},
	sigUSR2:         {alone: terminate, running: forward, leftover: ignore},
	syscall.SIGALRM: {alone: terminate, running: forward, leftover: ignore},
	sigWINCH:        {alone: ignore, running: forward, leftover: ignore},
	sigTSTP:         {alone: suspend, running: suspend, leftover: suspend},
	sigCONT:         {alone: resume, running: resume, leftover: resume},
}

func classOf(sig syscall.Signal, p phase) class { return classes[sig][p] }

// inbox holds the signals that came and were not taken yet: each once, as the
// kernel keeps them, and however many of others come meanwhile. Notify drops what
// finds no room in its channel, and who is busy might miss a TERM for a hundred
// CONTs.
type inbox struct {
	in  chan os.Signal
	out chan syscall.Signal
}

func newInbox() *inbox {
	return &inbox{in: make(chan os.Signal, 64), out: make(chan syscall.Signal)}
}

// next delivers one signal after the other.
func (b *inbox) next() <-chan syscall.Signal {
	if b == nil {
		return nil
	}
	return b.out
}

func (b *inbox) catch(sigs []os.Signal) { catchSignals(b.in, sigs) }

// again has a signal delivered once more, to whoever looks next.
func (b *inbox) again(sig syscall.Signal) { b.in <- sig }

// see takes what comes, until close. It is for a goroutine of its own.
func (b *inbox) see() {
	var pending []syscall.Signal
	for in := b.in; in != nil || len(pending) > 0; {
		var out chan syscall.Signal
		var first syscall.Signal
		if len(pending) > 0 {
			out, first = b.out, pending[0]
		}
		select {
		case sig, ok := <-in:
			if !ok {
				in = nil
				continue
			}
			pending = alsoPending(pending, sig.(syscall.Signal))
		case out <- first:
			pending = pending[1:]
		}
	}
	close(b.out)
}

// close hands the signals back to the kernel, and returns those that came before
// and that nobody looked at any more. Only for who has started see.
func (b *inbox) close() (left []syscall.Signal) {
	signal.Stop(b.in) // which waits for those on their way, where Reset drops them
	close(b.in)
	for sig := range b.out {
		left = append(left, sig)
	}
	return left
}

// alsoPending adds a signal to those that are pending. A CONT undoes the TSTPs
// before it.
func alsoPending(pending []syscall.Signal, sig syscall.Signal) []syscall.Signal {
	if sig == sigCONT {
		pending = slices.DeleteFunc(pending, func(p syscall.Signal) bool { return p == sigTSTP })
	}
	if slices.Contains(pending, sig) {
		return pending
	}
	return append(pending, sig)
}

// suspension is what TSTP and CONT have asked of this process. The zero value is
// that nothing was.
type suspension struct {
	mu        sync.Mutex
	asked     time.Time // when the TSTP came that nobody has followed; zero: none
	continued time.Time // when the last CONT came
}

const (
	// contsAgo is how long after a CONT a TSTP may come that was sent before it: the
	// runtime passes signals on in the order of their numbers.
	contsAgo = 2 * time.Millisecond
	// soon is how long after a TSTP we look for a CONT that undoes it, before we stop.
	soon = 5 * time.Millisecond
)

// ask is told of a TSTP, and reports whether it stands: one may be undone already.
// Not the terminal's: fg and Ctrl-Z come in that order.
func (s *suspension) ask() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.continued) < contsAgo && !foreground() {
		return false
	}
	s.asked = time.Now()
	return true
}

// resume is told of a CONT.
func (s *suspension) resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked, s.continued = time.Time{}, time.Now()
}

// take reports whether this process is to be stopped, which is done with then.
func (s *suspension) take() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := !s.asked.IsZero()
	s.asked = time.Time{}
	return was
}

// pending reports whether a TSTP stands that came no longer ago than that.
func (s *suspension) pending(atMost time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.asked) < atMost
}

func (s *suspension) lastResumed() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.continued
}

// undone reports whether a CONT comes right after a TSTP: it would be over before we
// stop, and we would stay stopped. What comes meanwhile is heard, until hear says
// that it is enough.
func (s *suspension) undone(next <-chan syscall.Signal, hear func(syscall.Signal) (more bool)) bool {
	before, late := s.lastResumed(), time.After(soon)
	for s.lastResumed().Equal(before) {
		select {
		case sig := <-next:
			if !hear(sig) {
				return true
			}
		case <-late:
			return false
		}
	}
	return true
}

// follow does what a signal asks of a process that has no command: stop is called
// where it is to be stopped, and the signal that ends it is returned, or 0.
func (s *suspension) follow(sig syscall.Signal, next <-chan syscall.Signal, stop func()) (ended syscall.Signal) {
	hear := func(sig syscall.Signal) bool {
		switch classOf(sig, alone) {
		case resume:
			s.resume()
		case terminate:
			ended = sig
		}
		return ended == 0
	}
	if classOf(sig, alone) != suspend {
		hear(sig)
		return ended
	}
	if s.ask() && !s.undone(next, hear) && s.take() {
		stop()
	}
	return ended
}

var signalNames = map[string]syscall.Signal{
	"ABRT": syscall.SIGABRT, "ALRM": syscall.SIGALRM, "HUP": syscall.SIGHUP, "INT": syscall.SIGINT,
	"KILL": syscall.SIGKILL, "PIPE": syscall.SIGPIPE, "QUIT": syscall.SIGQUIT, "TERM": syscall.SIGTERM,
}

func parseSignal(s string) (syscall.Signal, error) {
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if sig, ok := signalNames[name]; ok {
		return sig, nil
	}
	if n, err := strconv.Atoi(s); err == nil && n > 0 && n < 65 {
		return syscall.Signal(n), nil
	}
	return 0, fmt.Errorf("%q is not a signal: a name like TERM, INT, HUP, QUIT, USR1, KILL, or a number from 1 to 64", s)
}
