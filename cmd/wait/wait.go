// Package wait gets slots for a process that can be signalled and suspended: at once if that
// is possible, otherwise by standing in the line. Everything on the way that may take long is
// waited for in one place, await, where signals are heard.
//
// It prints nothing: Progress is given what a person should read during a long wait.
package wait

import (
	"context"
	"errors"
	"time"

	"berth/cmd/tty"
	"berth/lease"
	"berth/lease/clock"
	"berth/lease/retry"
	"berth/limiter"
)

// Waiter gets the slots of one request. It is for one goroutine at a time.
type Waiter struct {
	Store   lease.Store
	Request lease.Request
	Remote  bool          // the store is on a server
	AtMost  time.Duration // in the line; 0: not at all; negative: as long as it takes
	Signals *tty.Signals
	// Held are leases of the same job that are renewed while this waits, see limiter.Sessions.Keep.
	// When one of them is lost or told to stop, the wait ends; and they are extended when this
	// process is suspended.
	Held limiter.Sessions
	// SuspendIf suspends this process if that is still wanted once no call to the store
	// is under way.
	SuspendIf func(wanted func() bool)

	Line   bool                                // lines up at once, without a try before that
	Joined func(context.Context, lease.Ticket) // is told the ticket once it stands in the line; nil: nothing is told

	// Replace ends one job of the pool so that there is room for this request, which got that
	// verdict, and returns when the job is gone. It is called when the time in the line (then
	// 0 or more) is over, this request is the first there, and nothing but room is missing. nil:
	// no job is ended.
	Replace func(context.Context, lease.Verdict) error
	// Busy is called when the slots are not to be had at once. Its error ends the wait; nil:
	// nothing is called.
	Busy func(ctx context.Context) error

	Catch      func()                     // starts Signals; nil: they are started already
	Ask        limiter.Ask                // asks the gates
	Check      func(lease.Settings) error // fails if the pool's own gates can never be answered here
	First      func()                     // is called when this process is the first in the line and has to wait
	Trouble    func(error)                // is told that the store cannot be reached and is tried again
	Recovering func(lease.Verdict)        // is told that no job may start yet because the server may have lost leases
	GivenBack  func(lease.Lease)          // is told of slots that were had too late, after a signal, and given back
	Progress   *Progress                  // nil: a person is told nothing

	requests
}

const (
	// firstTry is how long the first try may take, which hears no signal: another process
	// may keep the pool's lock.
	firstTry = 500 * time.Millisecond
	// notWaiting is how long "at once" may take when a frozen process holds the pool's lock;
	// answers is the same for a server, which may be far away.
	notWaiting = time.Second
	answers    = 5 * time.Second
	// decideWithin is how much longer it may take when gates have to decide first: CPU use
	// needs two samples, and a gate's command takes its time.
	decideWithin = 12 * time.Second
)

// BusyError is a *limiter.BusyError with what can be seen of the pool.
type BusyError struct {
	Err     error
	Request lease.Request
	State   *lease.Pool   // nil: it could not be read
	Now     clock.Instant // when it was read, on the store's clock
}

func (e *BusyError) Error() string { return e.Err.Error() }
func (e *BusyError) Unwrap() error { return e.Err }

// seen is what the first try has found out.
type seen struct {
	verdict lease.Verdict
	outage  error // why the store could not be reached; nil: it could, or that is not known
}

// Acquire takes the slots. Its errors are those of limiter.Acquire, with *BusyError around
// *limiter.BusyError, and tty.SignalError when a signal ended the wait. After an error
// nothing is held but Held.
func (w *Waiter) Acquire(ctx context.Context) (*limiter.Session, error) {
	s, before, err := w.try(ctx)
	var busy *limiter.BusyError
	if w.Busy != nil && s == nil && (before.verdict.Reason != "" || errors.As(err, &busy) && busy.Verdict.Reason != "") {
		if e := w.Busy(ctx); e != nil {
			return nil, e
		}
	}
	if s != nil || err != nil {
		return s, w.withState(err)
	}
	if w.Catch != nil {
		w.Catch()
	}
	w.Signals.Ready()
	w.Signals.Catch(tty.AfterStart)
	own := before.verdict.Own
	gated := w.Request.Gates != "" || own.Gates != ""
	if own.Gates != "" { // better now than after an hour in the line
		if err := w.Answerable(ctx, gated, func() error { return w.Check(own) }); err != nil {
			return nil, err
		}
	}
	return w.lineUp(ctx, gated, before)
}

// try takes the slots if that is possible at once. It hears no signals, so it does not take
// long. No session and no error: the request has to wait.
func (w *Waiter) try(ctx context.Context) (*limiter.Session, seen, error) {
	// A key keeps its place in the line, so line up even if only to be told that it is busy.
	if w.Request.Key != "" || w.Line {
		own, err := w.ownSettings(ctx)
		return nil, seen{verdict: lease.Verdict{Own: own}}, err
	}
	ctx, cancel := context.WithTimeout(ctx, firstTry)
	defer cancel()
	s, err := limiter.Acquire(ctx, w.Store, w.Request, limiter.Options{Now: true})
	if err == nil || w.heldUp(err) {
		return s, seen{}, err
	}
	if w.AtMost != 0 && errors.As(err, new(*lease.UnreachableError)) {
		return nil, seen{outage: err}, nil
	}
	var busy *limiter.BusyError
	isBusy, outOfTime := errors.As(err, &busy), ctx.Err() != nil
	refused := isBusy && w.AtMost == 0 && busy.Verdict.Reason != lease.Gated && !w.replaces(busy.Verdict)
	switch {
	case !outOfTime && (refused || !isBusy):
		return nil, seen{}, err
	case !isBusy: // the line has more time, and gives the error again if it is final
		return nil, seen{}, nil
	case busy.Verdict.Reason == lease.Recovering && w.AtMost != 0:
		w.Recovering(busy.Verdict)
	}
	return nil, seen{verdict: busy.Verdict}, nil
}

// ownSettings are the pool's, none when they cannot be read: the line will tell.
func (w *Waiter) ownSettings(ctx context.Context) (lease.Settings, error) {
	atMost := firstTry
	if w.Remote {
		atMost = notWaiting
	}
	switch p, err := w.read(ctx, lease.Ticket{}, atMost); {
	case w.heldUp(err):
		return lease.Settings{}, &limiter.BusyError{Pool: w.Request.Pool, Err: err}
	case err != nil:
		return lease.Settings{}, nil
	default:
		return p.Own, nil
	}
}

// heldUp reports whether a request that does not wait has met a process that keeps the
// pool's lock: then it does not stand in the line for that lock either.
func (w *Waiter) heldUp(err error) bool {
	return w.AtMost == 0 && errors.As(err, new(*lease.LockHeldError))
}

// allowed ends ctx when the time in the line is over.
func (w *Waiter) allowed(ctx context.Context, gated bool) (context.Context, context.CancelFunc) {
	switch {
	case w.AtMost < 0:
		return context.WithCancel(ctx)
	case w.AtMost > 0:
		return context.WithTimeout(ctx, w.AtMost)
	case gated:
		return context.WithTimeout(ctx, notWaiting+decideWithin)
	default:
		return context.WithTimeout(ctx, w.answersWithin())
	}
}

// answersWithin is how long the store may take to answer a request that does not wait.
func (w *Waiter) answersWithin() time.Duration {
	if w.Remote {
		return answers
	}
	return notWaiting
}

// Answerable runs check, which finds out whether gates can be answered here at all: a disk
// whose server is gone never answers. gated says whether gates decide after that.
func (w *Waiter) Answerable(ctx context.Context, gated bool, check func() error) error {
	ctx, cancel := w.allowed(ctx, gated)
	defer cancel()
	_, err := await(ctx, w, waitingFor{}, func(context.Context) (struct{}, error) { return struct{}{}, check() })
	if errors.Is(err, errLeft) {
		return &limiter.BusyError{Pool: w.Request.Pool, Verdict: lease.Verdict{Reason: lease.Gated, Why: "what the gates read does not come back"}}
	}
	return err
}

// Pool reads the pool before anything else is done with it. A request that waits for a slot
// waits for the server, too; one that does not wait does not wait for the pool's lock either.
func (w *Waiter) Pool(ctx context.Context) (lease.Pool, error) {
	cancel := context.CancelFunc(func() {})
	switch {
	case w.Remote && w.AtMost != 0:
		ctx, cancel = w.allowed(ctx, false)
	case !w.Remote && w.AtMost == 0:
		ctx, cancel = context.WithTimeout(ctx, firstTry)
	}
	defer cancel()
	pool, err := await(ctx, w, waitingFor{returns: true}, func(ctx context.Context) (p lease.Pool, err error) {
		read := func(ctx context.Context) (err error) {
			p, err = w.Store.Summary(ctx, w.Request.Pool, lease.Ticket{})
			return err
		}
		if w.Remote && w.AtMost != 0 {
			return p, retry.Do(ctx, w.Trouble, read)
		}
		return p, read(ctx)
	})
	if w.heldUp(err) {
		err = w.withState(&limiter.BusyError{Pool: w.Request.Pool, Err: err})
	}
	return pool, err
}

// read reads the pool for people, for as long as it may take at most.
func (w *Waiter) read(ctx context.Context, t lease.Ticket, atMost time.Duration) (*lease.Pool, error) {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	p, err := w.Store.Summary(ctx, w.Request.Pool, t)
	var held *lease.LockHeldError
	switch {
	case errors.As(err, &held) && held.PID != 0:
		err = held
	case errors.Is(err, context.DeadlineExceeded):
		err = errors.New("the store does not answer")
	}
	return &p, err
}

// withState adds the state of the pool to a *limiter.BusyError. A signal that comes while it
// is read takes the place of the error: a shell only ends its loop at a Ctrl-C if berth dies
// of it.
func (w *Waiter) withState(err error) error {
	var busy *limiter.BusyError
	if !errors.As(err, &busy) {
		return err
	}
	var outage *lease.UnreachableError
	if w.AtMost == 0 && errors.As(busy.Err, &outage) {
		return outage // there was no answer, so nobody knows whether a slot is free
	}
	if errors.As(err, new(*lease.LockHeldError)) { // the pool cannot be read
		return &BusyError{Err: err, Request: w.Request}
	}
	// Without the tickets: a thousand waiters may do this at the same time.
	state, rerr := await(context.Background(), w, waitingFor{}, func(ctx context.Context) (*lease.Pool, error) {
		return w.read(ctx, lease.Ticket{}, time.Second)
	})
	switch {
	case errors.As(rerr, new(tty.SignalError)):
		return rerr
	case rerr != nil:
		state = nil
	}
	return &BusyError{err, w.Request, state, w.Store.Clock()}
}
