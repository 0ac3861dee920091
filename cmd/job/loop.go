package job

import (
	"context"
	"errors"
	"time"

	"berth/cmd/tty"
	"berth/lease"
	"berth/limiter"
	"berth/procwatch"
)

// Run starts the command and returns when the job is over: when the command has exited, and
// whatever its Spec has it wait for or end, too. A job without sessions has no slot.
// After an error nothing was started. ctx is for calls to the store, and does not end the job.
//
// The slots are given back at the end. When the store is out of reach this takes as long as its
// client keeps trying, and no signal is handled during that time. Even if it fails (see
// NotReleased), the result is the command's.
func Run(ctx context.Context, s limiter.Sessions, spec Spec, in Inputs, sinks ...Sink) (Result, error) {
	child, err := start(ctx, s, spec)
	if err != nil {
		return Result{}, err
	}
	l := newLoop(ctx, s, spec, in, sinks)
	l.child, l.fromChild = child, child.Events()
	l.terminal = tty.NewTerminal()
	l.machine.control.terminal = l.terminal.Exists()
	l.pid = child.ID().PID
	l.untilDone()
	l.close()
	return l.ended(), nil
}

func (l *loop) untilDone() {
	l.in.Signals.Catch(tty.AfterStart)
	l.handle(event{kind: started, clock: l.in.Clock()})
	for l.life.state != done {
		l.handle(l.next())
	}
}

func (l *loop) ended() Result {
	r := l.life.result
	l.report(Record{Kind: Ended, Code: r.Code, Signal: r.Signal, Err: r.Why})
	return r
}

func start(ctx context.Context, s limiter.Sessions, spec Spec) (child *procwatch.Child, err error) {
	begin := procwatch.Start
	if s.Expire() || spec.Bound {
		begin = procwatch.StartBound // without this process nothing would renew its leases
	}
	if err = s.Ready(ctx); err == nil {
		child, err = begin(spec.Argv, spec.Env)
	}
	if err != nil && len(s) > 0 {
		err = errors.Join(err, s.Unused(context.WithoutCancel(ctx)))
	}
	return child, err
}

// loop turns what comes from outside into events, one after the other, and does what the
// machine says.
type loop struct {
	machine
	ctx      context.Context
	sessions limiter.Sessions // none: no slot
	child    *procwatch.Child // nil: nothing is run, see Keep
	pid      int              // of the command, or of the process that the leases are kept for
	terminal tty.Terminal
	in       Inputs
	sinks    []Sink

	fromChild    <-chan procwatch.Event
	fromSessions <-chan limiter.Event
	left         <-chan struct{}   // Inputs.Left
	gone         <-chan struct{}   // Inputs.Gone
	tree         chan error        // End or WaitTree has returned
	leftovers    chan []string     // what the command has left
	due          [timers]time.Time // when each timer fires; zero: it does not
	later        []event           // that were received, but not handled
}

func newLoop(ctx context.Context, s limiter.Sessions, spec Spec, in Inputs, sinks []Sink) *loop {
	l := &loop{ctx: ctx, sessions: s, fromSessions: s.Events(), in: in, sinks: sinks}
	l.machine.life.Spec, l.machine.life.leases = &spec, len(s)
	l.tree = make(chan error, 2) // at most one End and one WaitTree
	l.leftovers = make(chan []string, 1)
	l.left, l.gone = in.Left, in.Gone
	return l
}

// next waits for the next event. What the command did comes before everything else: on a busy
// machine a CONT is found together with a Ctrl-Z that was typed after it, and a request to end
// the job together with the job's own end.
func (l *loop) next() event {
	for {
		select {
		case ev := <-l.fromChild:
			return l.ofChild(ev)
		default:
		}
		if len(l.later) > 0 {
			e := l.later[0]
			l.later = l.later[1:]
			return e
		}
		t, due := l.nextTimer()
		select {
		case ev := <-l.fromChild:
			return l.ofChild(ev)
		case sig := <-l.in.Signals.Next():
			l.later = []event{{kind: signalled, signal: sig, typed: l.terminal.Sent(sig)}}
		case ev := <-l.fromSessions:
			l.later = l.ofSession(ev)
		case err := <-l.tree:
			l.later = []event{{kind: treeGone, err: err}}
		case left := <-l.leftovers:
			l.later = []event{{kind: leftoversNamed, left: left}}
		case stop := <-l.in.Stop:
			l.later = []event{{kind: stopRequested, stop: &stop}}
		case <-l.left:
			l.left, l.later = nil, []event{{kind: leftUs}}
		case <-l.gone:
			l.gone, l.later = nil, []event{{kind: exited}}
		case <-due:
			l.due[t] = time.Time{}
			l.later = []event{l.ofTimer(t)}
		}
	}
}

func (l *loop) nextTimer() (first timer, due <-chan time.Time) {
	var at time.Time
	for t, then := range l.due {
		if !then.IsZero() && (at.IsZero() || then.Before(at)) {
			first, at = timer(t), then
		}
	}
	if at.IsZero() {
		return 0, nil
	}
	return first, time.After(time.Until(at))
}

func (l *loop) ofChild(ev procwatch.Event) event {
	switch ev.Kind {
	case procwatch.Stopped:
		return event{kind: stopped, signal: ev.Signal, foreground: tty.Foreground()}
	case procwatch.Continued:
		return event{kind: continued}
	default:
		return event{kind: exited, signal: ev.Signal, code: ev.Code}
	}
}

// ofSession has a request to end the job come before the renewal that has found it.
func (l *loop) ofSession(ev limiter.Event) (all []event) {
	if ev.Stop != nil {
		all = append(all, event{kind: stopRequested, lease: ev.Lease, stop: ev.Stop, after: l.limitOf(ev)})
	}
	e := event{kind: renewed, lease: ev.Lease, clock: l.in.Clock(), keepalive: ev.Keepalive, release: ev.Release, grace: ev.Grace, err: ev.Err}
	switch ev.Kind {
	case limiter.Lost:
		e.kind = lost
	case limiter.Regained:
		e.kind = regained
	}
	return append(all, e)
}

func (l *loop) ofTimer(t timer) event {
	e := event{kind: fires[t]}
	switch e.kind {
	case keystrokeDue:
		e.foreground = tty.Foreground()
	case settled:
		e.stillStopped = l.child.ID().State() == procwatch.Stopped
	}
	return e
}

func (l *loop) handle(e event) {
	e.at = time.Now()
	healthy := l.life.result.Why == nil
	var effects []effect
	l.machine, effects = l.on(e)
	for _, f := range effects {
		l.perform(f)
	}
	if why := l.life.result.Why; healthy && why != nil {
		l.report(Record{Kind: Ending, Err: why})
	}
}

// close gives the slots back. Those of a lost lease are gone already.
func (l *loop) close() {
	for _, s := range l.sessions {
		switch err := s.Close(context.WithoutCancel(l.ctx)); {
		case err == nil:
			l.report(Record{Kind: Released, Lease: s.Lease().ID})
		case !errors.Is(err, lease.ErrLost):
			l.report(Record{Kind: NotReleased, Lease: s.Lease().ID, Err: err})
		}
	}
}

// report completes a record. One that is about no lease in particular gets the first.
func (l *loop) report(r Record) {
	r.Time, r.PID = time.Now(), l.pid
	if len(l.sessions) > 0 {
		about := l.sessions.Of(r.Lease)
		if about == nil {
			about = l.sessions[0]
		}
		held := about.Lease()
		r.Lease, r.Pool, r.Slots = held.ID, held.Pool, held.Slots
	}
	for _, sink := range l.sinks {
		sink(r)
	}
}
