package cmd

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"berth/cmd/tty"
	"berth/lease"
	"berth/lease/clock"
	"berth/limiter"
	"berth/procwatch"
)

// supervisor runs one child to its end. Everything that happens to it comes to
// one select; timers and goroutines only deliver events.
type supervisor struct {
	*runner
	h     *limiter.Session // nil: no slot of its own
	child *procwatch.Child

	ending   error          // why the tree is being ended; nil: it is not
	first    syscall.Signal // that the command is ended with; 0: it ended before
	killAt   time.Time      // then it is killed
	exited   bool
	exitedAt time.Time
	code     int                  // the child's, once it exited
	died     syscall.Signal       // that ended the child, or 0
	done     chan error           // End or WaitTree has returned
	events   <-chan limiter.Event // of h
	deadline <-chan time.Time
	idle     *time.Timer
	busyAt   clock.Instant // the start, or the last keepalive, on the store's clock

	gaveUp    bool // the tree could not be ended
	ctl       tty.Suspension
	resumed   int  // how many CONTs came
	stopped   bool // the child is, as far as events told
	stops     int  // how often it was
	cont      <-chan time.Time
	contStops int // stops when CONT came to us
}

// supervise starts the command, with the slots h or none, and returns its code.
func (r *runner) supervise(h *limiter.Session) (int, error) {
	if !r.spec.Exec {
		<-r.caught // before there is a child that would miss them, and before a word
	}
	var l *lease.Lease
	if h != nil {
		held := h.Lease()
		l = &held
		r.say.verbosef("took slot %s of pool %s, limit %d, token %d", slotList(l.Slots), l.Pool, l.InForce, l.Token)
	}
	if r.spec.Exec {
		return r.become(h, l)
	}
	start := procwatch.Start
	if h != nil && h.Expires() {
		if err := h.Ready(context.Background()); err != nil {
			return 0, errors.Join(err, unused(h))
		}
		start = procwatch.StartBound // nobody would renew its lease
	}
	r.say.out.flush(beforeStart)
	child, err := start(r.spec.Argv, r.environ(l))
	if err != nil {
		return 0, errors.Join(err, unused(h))
	}
	r.noteLimit(l) // started first: nobody reads a note sooner for a slot that is held
	s := &supervisor{
		runner: r, h: h, child: child, busyAt: r.store.Clock(),
		done: make(chan error, 1),
	}
	r.term = tty.NewTerminal()
	r.signals.Catch(tty.Others)
	return s.run()
}

// unused gives back what no command was started in.
func unused(h *limiter.Session) error {
	if h == nil {
		return nil
	}
	return h.Unused(context.Background())
}

// become replaces berth by the command, which inherits the slot's descriptor.
func (r *runner) become(h *limiter.Session, l *lease.Lease) (int, error) {
	if h != nil {
		if err := h.Bind(context.Background(), l.Owner); err != nil {
			return 0, errors.Join(err, unused(h))
		}
	}
	r.noteLimit(l) // nobody is left to say it afterwards
	r.say.out.flush(beforeStart)
	err := r.lastSignal()
	if err == nil {
		err = procwatch.Replace(r.spec.Argv, r.environ(l))
	}
	return 0, errors.Join(err, unused(h))
}

// lastSignal hands the signals back to the kernel, and returns one that came
// before, when nobody looked any more.
func (r *runner) lastSignal() error {
	select {
	case <-r.caught:
	default:
		return nil // they were never ours
	}
	for _, sig := range r.signals.Close() {
		if tty.ClassOf(sig, tty.Alone) == tty.Terminate {
			return tty.SignalError{Signal: sig}
		}
	}
	return nil
}

func (s *supervisor) run() (int, error) {
	if s.h != nil {
		if err := s.h.Bind(context.Background(), lease.Process(s.child.ID())); err != nil {
			s.say.notef("cannot record the child of %s: %v", s.h.Lease().ID, err)
		}
		s.events = s.h.Events()
	}
	s.startClocks()
	for !s.step() {
	}
	if s.h != nil {
		s.giveBack()
	}
	return s.outcome()
}

func (s *supervisor) startClocks() {
	if s.spec.Timeout > 0 {
		s.deadline = time.After(s.spec.Timeout)
	}
	if s.spec.IdleTimeout > 0 {
		s.idle = time.NewTimer(s.spec.IdleTimeout)
	}
}

func (s *supervisor) idleOver() <-chan time.Time {
	if s.idle == nil {
		return nil
	}
	return s.idle.C
}

// step handles one event, and reports true when nothing is left to wait for.
func (s *supervisor) step() bool {
	select {
	case ev := <-s.child.Events():
		return s.childEvent(ev)
	case sig := <-s.signals.Next():
		s.signal(sig)
		if sig == tty.TSTP && s.stopped { // it was quicker, or stopped before
			s.stopAfter(tty.TSTP)
		}
	case <-s.cont:
		// First what the child did before: on a busy machine we find both at once,
		// and it may be stopped by a Ctrl-Z that was typed after the CONT.
		if s.before() {
			return true
		}
		s.passCont()
	case <-s.deadline:
		s.end(&timeLimitError{"--timeout", s.spec.Timeout, s.spec.Signal, s.spec.KillAfter}, s.spec.KillAfter)
	case <-s.idleOver():
		s.idleClock()
	case g := <-s.events:
		if g.Stop != nil && s.before() { // one that has ended is not stopped
			return true
		}
		s.renewed(g)
	case err := <-s.done:
		s.treeGone(err)
		return s.exited
	}
	return false
}

// before handles what the child did until now, and reports true as step does.
func (s *supervisor) before() bool {
	for len(s.child.Events()) > 0 {
		if s.childEvent(<-s.child.Events()) {
			return true
		}
	}
	return false
}

func (s *supervisor) childEvent(ev procwatch.Event) bool {
	switch ev.Kind {
	case procwatch.Continued:
		s.stopped = false
	case procwatch.Stopped:
		s.stopped = true
		s.stops++
		s.stopAfter(ev.Signal)
	case procwatch.Exited:
		s.left(ev)
		switch {
		case s.ending != nil:
			return s.gaveUp // else not before the tree is gone, too
		case s.spec.Hold == "tree":
			go func() { s.done <- s.child.WaitTree(context.Background()) }()
			return false
		case s.spec.Leftovers == "kill":
			s.end(errLeftovers, s.spec.KillAfter)
			s.tellLeftovers()
			return false
		}
		return true
	}
	return false
}

// left: the child has exited.
func (s *supervisor) left(ev procwatch.Event) {
	s.exited, s.exitedAt, s.code, s.died = true, time.Now(), ev.Code, ev.Signal
}

func (s *supervisor) signal(sig syscall.Signal) {
	phase := tty.Running
	if s.exited { // the slot follows what the command left behind
		phase = tty.Leftover
	}
	switch class := tty.ClassOf(sig, phase); {
	case class == tty.Ignore, class == tty.Suspend && !s.ctl.Request(time.Now(), tty.Foreground()):
		return
	case class == tty.Terminate:
		s.endLeftovers(sig)
		return
	case class == tty.Resume:
		s.ctl.Resume(time.Now())
		s.resumed++
		if s.h != nil {
			s.h.Renew() // 'berth stop' wakes us with it
		}
	}
	if phase == tty.Leftover {
		// Not while they are being ended: stopped, we could not kill what is left.
		if sig == tty.TSTP && s.ctl.Take() && s.ending == nil && !s.continuedSoon() {
			s.halt()
		}
		return
	}
	if sig == tty.CONT && s.term.Exists() { // a shell's fg may have sent it to the child as well
		s.cont, s.contStops = time.After(contTime), s.stops
		return
	}
	if s.term.Sent(sig) {
		return // the child has it from the terminal
	}
	if err := s.child.Signal(sig); err != nil {
		s.say.notef("cannot pass %v on to pid %d: %v", sig, s.child.ID().PID, err)
	}
}

// endLeftovers ends what the command left behind. While that is under way there is
// nobody else whom the signal could be for: it means at once. But not a Ctrl-C of which
// the command has ended and that we hear of after that.
func (s *supervisor) endLeftovers(sig syscall.Signal) {
	switch {
	case s.ending == nil:
		s.end(tty.SignalError{Signal: sig}, s.spec.KillAfter)
	case time.Since(s.exitedAt) > keystrokeTime || !s.term.Sent(sig):
		s.end(tty.SignalError{Signal: sig}, 0)
	}
}

// end ends the whole tree. Again, it can only shorten the grace.
func (s *supervisor) end(why error, killAfter time.Duration) {
	killAt := time.Now().Add(killAfter)
	switch {
	case s.ending == nil:
		s.ending, s.killAt = why, killAt
		if !s.exited { // else it is what the command left behind that is ended
			s.first = firstSignal(s.spec.Signal, killAfter)
		}
		go func() { s.done <- s.child.End(context.Background(), s.spec.Signal, killAfter) }()
	case killAt.Before(s.killAt):
		s.killAt = killAt
		time.AfterFunc(killAfter, func() { _ = s.child.End(context.Background(), syscall.SIGKILL, 0) })
	}
}

// firstSignal is what End sends first.
func firstSignal(sig syscall.Signal, killAfter time.Duration) syscall.Signal {
	if killAfter == 0 {
		return syscall.SIGKILL
	}
	return sig
}

// treeGone: End or WaitTree has returned.
func (s *supervisor) treeGone(err error) {
	if err != nil {
		s.say.errorf("%v", err)
	}
	if s.exited {
		return
	}
	// The exit is on its way, or the child refuses to go and said why.
	select {
	case ev := <-s.child.Events():
		if ev.Kind == procwatch.Exited {
			s.left(ev)
		}
	case <-time.After(time.Second):
	}
	s.gaveUp = !s.exited // then it is only the child that is waited for
}

// idleClock: the idle time is over, unless the job called 'berth keepalive'.
// What the lease says now decides, in renewed.
func (s *supervisor) idleClock() { s.h.Renew() }

func (s *supervisor) renewed(g limiter.Event) {
	switch {
	case g.Kind == limiter.Lost:
		s.lose(g)
	case g.Kind == limiter.Regained && s.ending == nil:
		s.say.notef("pool %s: the lease is renewed, and the job is counted again", s.spec.Request.Pool)
	case g.Err != nil:
		s.say.verbosef("no heartbeat: %v", g.Err)
	}
	if g.Stop != nil {
		kill := s.spec.KillAfter
		if g.Stop.KillAfter != nil {
			kill = *g.Stop.KillAfter
		}
		s.end(&lease.StoppedError{Stop: *g.Stop}, kill)
	}
	s.busyAt = max(s.busyAt, g.Keepalive)
	if s.spec.IdleTimeout > 0 {
		left := s.busyAt.Add(s.spec.IdleTimeout).Sub(s.store.Clock())
		if left <= 0 && g.Err != nil { // it may have been busy, and we could not hear of it
			s.idle.Reset(time.Second)
			return
		}
		if left <= 0 {
			s.end(&timeLimitError{"--idle-timeout", s.spec.IdleTimeout, s.spec.Signal, s.spec.KillAfter}, s.spec.KillAfter)
			return
		}
		s.idle.Reset(left)
	}
}

// outcome is the exit code, and what is to be said of it. It is the command's own,
// except that a command which was stopped never looks like one that has done its work:
// many end with 0 after a TERM, and the script goes on to what needs their result. One
// that had ended before, with --hold tree, has done it.
func (s *supervisor) outcome() (int, error) {
	var stopped *lease.StoppedError
	var limit *timeLimitError
	switch {
	case errors.As(s.ending, &limit):
		return 0, limit
	case errors.Is(s.ending, lease.ErrLost):
		return 0, fmt.Errorf("%w; the job was ended", s.ending)
	case errors.As(s.ending, &stopped):
		s.say.errorf("job %s was %v", s.spec.Request.ID, stopped)
		if s.code == 0 && s.first != 0 {
			return codeSignal + int(s.first), nil
		}
	}
	if s.died != 0 {
		return 0, tty.SignalError{Signal: s.died}
	}
	return s.code, nil
}

// errLeftovers: the command ended by itself, and what it left behind is being ended.
var errLeftovers = errors.New("leftovers")
