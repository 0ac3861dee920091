// Package wait gets slots for a process that can be signalled and suspended: at once where
// that is possible, else by standing in the line. Whatever may take time on the way is
// waited for in one place, which hears signals.
//
// It prints nothing. What a person is told of a long wait goes through Progress.
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

// Waiter gets the slots of one request. It is for one goroutine.
type Waiter struct {
	Store   lease.Store
	Request lease.Request
	Remote  bool          // the store is on a server
	AtMost  time.Duration // in the line; 0: not at all; negative: as long as it takes
	Signals *tty.Signals
	Suspend func() // suspends this process, not within a call to the store

	Catch      func()                     // has Signals started before the line, where they were not before; nil: they were
	Ask        limiter.Ask                // asks gates
	Check      func(lease.Settings) error // whether the pool's own gates can be answered here
	First      func()                     // this process is the first in the line, and has to wait
	Trouble    func(error)                // the store cannot be reached, and is tried again
	Recovering func(lease.Verdict)        // nobody starts yet, for the server may have lost leases
	Progress   *Progress                  // nil: nobody is told

	listener
}

const (
	// firstTry is how long the first try may take, during which no signal is heard: a
	// process may keep the pool's lock.
	firstTry = 500 * time.Millisecond
	// notWaiting is how long "at once" may take when a process is frozen in the pool's
	// lock; answers is the same for a server, which may be far away.
	notWaiting = time.Second
	answers    = 5 * time.Second
	// decideWithin is how much longer it may take when gates have to decide first: CPU
	// use needs two samples, and a command of the user's takes its time.
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

// seen is what a first try has found out.
type seen struct {
	verdict lease.Verdict
	out     error // the store could not be reached; nil: it could, or nobody knows
}

// Acquire takes the slots. Its errors are those of limiter.Acquire, with *BusyError for
// *limiter.BusyError, and tty.SignalError when a signal ended the wait. Nothing is held
// then.
func (w *Waiter) Acquire(ctx context.Context) (*limiter.Session, error) {
	s, before, err := w.try(ctx)
	if s != nil || err != nil {
		return s, w.withState(err)
	}
	if w.Catch != nil {
		w.Catch()
	}
	w.Signals.Ready()
	w.Signals.Catch(tty.Others)
	own := before.verdict.Own
	gated := w.Request.Gates != "" || own.Gates != ""
	if own.Gates != "" { // better now than after an hour in the line
		if err := w.Answerable(ctx, gated, func() error { return w.Check(own) }); err != nil {
			return nil, err
		}
	}
	return w.stand(ctx, gated, before)
}

// try takes the slots if that is possible at once. It hears no signals, and so it does not
// take long. Without a session and an error the request has to wait.
func (w *Waiter) try(ctx context.Context) (*limiter.Session, seen, error) {
	if w.Request.Key != "" { // which wants its place in the line, however short the visit
		own, err := w.ownSettings(ctx)
		return nil, seen{verdict: lease.Verdict{Own: own}}, err
	}
	ctx, cancel := context.WithTimeout(ctx, firstTry)
	defer cancel()
	s, err := limiter.Acquire(ctx, w.Store, w.Request, limiter.Options{Now: true})
	var busy *limiter.BusyError
	_ = errors.As(err, &busy)
	switch late := ctx.Err() != nil; {
	case err == nil, w.heldUp(err):
		return s, seen{}, err
	case w.AtMost != 0 && errors.As(err, new(*lease.UnreachableError)):
		return nil, seen{out: err}, nil
	case !late && (busy == nil || w.AtMost == 0 && busy.Verdict.Reason != lease.Gated):
		return nil, seen{}, err
	case busy == nil:
		return nil, seen{}, nil
	case busy.Verdict.Reason == lease.Recovering && w.AtMost != 0:
		w.Recovering(busy.Verdict)
	}
	return nil, seen{verdict: busy.Verdict}, nil
}

// ownSettings are the pool's, empty when they cannot be read: the line tells them.
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
// pool's lock: it has been told so, and does not line up for it.
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
	case w.Remote:
		return context.WithTimeout(ctx, answers)
	default:
		return context.WithTimeout(ctx, notWaiting)
	}
}

// Answerable runs check, which finds out whether gates can be answered here at all. A disk
// whose server is gone may never answer. gated is whether they are to decide after that.
func (w *Waiter) Answerable(ctx context.Context, gated bool, check func() error) error {
	ctx, cancel := w.allowed(ctx, gated)
	defer cancel()
	_, err := await(ctx, w, manner{}, func(context.Context) (struct{}, error) { return struct{}{}, check() })
	if errors.Is(err, errLeft) {
		return &limiter.BusyError{Pool: w.Request.Pool, Verdict: lease.Verdict{Reason: lease.Gated, Why: "what the gates read does not come back"}}
	}
	return err
}

// Pool reads the pool before anything else is done with it. A request that waits for a
// slot waits for a server, too; one that does not wait, not for a pool's lock.
func (w *Waiter) Pool(ctx context.Context) (lease.Pool, error) {
	if w.Remote && w.AtMost != 0 {
		var cancel context.CancelFunc
		ctx, cancel = w.allowed(ctx, false)
		defer cancel()
	}
	if !w.Remote && w.AtMost == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, firstTry)
		defer cancel()
	}
	pool, err := await(ctx, w, manner{returns: true}, func(ctx context.Context) (p lease.Pool, err error) {
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

// read reads the pool for people. It takes as long as the store does, but for that limit.
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

// withState adds to a *limiter.BusyError what the caller should know of the pool. A signal
// that comes during that is the error: a shell goes on with its loop after Ctrl-C unless
// we die of it.
func (w *Waiter) withState(err error) error {
	var busy *limiter.BusyError
	if !errors.As(err, &busy) {
		return err
	}
	if out := (*lease.UnreachableError)(nil); w.AtMost == 0 && errors.As(busy.Err, &out) {
		return out // a request that does not wait has waited for the store, and not for a slot
	}
	if errors.As(err, new(*lease.LockHeldError)) { // nothing more can be seen behind it
		return &BusyError{Err: err, Request: w.Request}
	}
	// Not the whole line: a thousand waiters may ask at the same time.
	state, rerr := await(context.Background(), w, manner{}, func(ctx context.Context) (*lease.Pool, error) {
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
