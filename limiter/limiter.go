// Package limiter decides when a caller may hold slots: it lines up, waits for
// its turn and takes.
//
// It knows nothing of where pools live (package lease) and nothing of the
// child that runs afterwards (package procwatch).
package limiter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"berth/lease"
)

// BusyError says that the slots could not be had in the time allowed.
type BusyError struct {
	Pool    string
	Verdict lease.Verdict // the last one
	Kept    bool          // the place in the line is kept for the request's key
	Err     error         // what took the time, if it was not the line
}

func (e *BusyError) Error() string {
	var held *lease.LockHeldError
	if errors.As(e.Err, &held) {
		return fmt.Sprintf("no slot of pool %s: %v", e.Pool, held)
	}
	return fmt.Sprintf("no slot of pool %s: %s", e.Pool, e.Verdict)
}

func (e *BusyError) Unwrap() error { return e.Err }

// Do is work on the waiter's place that must not run while it waits: it is
// done between two looks.
type Do func(context.Context, lease.Place) error

// Options of Acquire. The zero value waits as long as the context allows.
type Options struct {
	// Now: do not wait.
	Now bool
	// Interrupt makes the waiter look again, after doing what it received.
	Interrupt <-chan Do
	// Waiting is called with every verdict that makes it wait.
	Waiting func(lease.Ticket, lease.Verdict)
}

// Acquire takes the slots r asks for, first come first served. It returns
// *BusyError when ctx ended by its deadline (or at once, with Options.Now), the
// context's cause when it was cancelled, *lease.StoppedError when somebody
// asked this waiter to leave, lease.ErrTooHeavy when r can never start. After
// an error nothing is held and no ticket is left, unless r.Key keeps one.
func Acquire(ctx context.Context, s lease.Store, r lease.Request, o Options) (lease.Holding, error) {
	if r.Key == "" { // a key wants its place, however short the visit
		h, v, err := s.TryAcquire(ctx, r)
		if h != nil || err != nil {
			return h, late(r, v, err)
		}
		if err := refuse(r, v); err != nil {
			return nil, err
		}
		if o.Now {
			return nil, &BusyError{Pool: r.Pool, Verdict: v}
		}
	}
	p, err := s.Line(ctx, r)
	if err != nil {
		return nil, late(r, lease.Verdict{}, err)
	}
	h, v, err := stand(ctx, p, o)
	if err == nil {
		return h, nil
	}
	// Leave without ctx, for it may be what ended; but not for ever, for somebody
	// may be frozen in the pool's lock. The line sweeps what is left then.
	lctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveWithin)
	defer cancel()
	if lerr := p.Leave(lctx); lerr != nil && !errors.Is(lerr, context.DeadlineExceeded) {
		err = errors.Join(err, lerr)
	}
	return nil, late(r, v, err)
}

// late turns the end of the time allowed into a BusyError.
func late(r lease.Request, v lease.Verdict, err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errNow) {
		return &BusyError{Pool: r.Pool, Verdict: v, Kept: r.Key != "", Err: err}
	}
	return err
}

const leaveWithin = 2 * time.Second

var errNow = errors.New("not waiting")

// stand waits in the line until it has the slots.
func stand(ctx context.Context, p lease.Place, o Options) (lease.Holding, lease.Verdict, error) {
	w := waiter{place: p, done: make(chan error, 1)}
	defer w.interrupt()
	for {
		h, v, err := p.TryAcquire(ctx)
		if h != nil || err != nil {
			return h, v, err
		}
		if err := refuse(p.Ticket().Request, v); err != nil {
			return nil, v, err
		}
		if o.Now {
			return nil, v, errNow
		}
		if o.Waiting != nil {
			o.Waiting(p.Ticket(), v)
		}
		if err := w.wait(ctx, o.Interrupt); err != nil {
			return nil, v, err
		}
	}
}

// waiter runs Place.Wait beside the interrupts.
type waiter struct {
	place  lease.Place
	done   chan error
	cancel context.CancelFunc // of the Wait that runs; nil: none does
}

func (w *waiter) wait(ctx context.Context, interrupt <-chan Do) error {
	wctx, cancel := context.WithCancel(ctx)
	w.cancel = cancel
	go func() { w.done <- w.place.Wait(wctx) }()
	select {
	case err := <-w.done:
		w.cancel = nil
		cancel()
		return err
	case do := <-interrupt:
		w.interrupt()
		return do(ctx, w.place)
	}
}

// interrupt ends the Wait that runs and waits for that: a place is for one
// goroutine at a time.
func (w *waiter) interrupt() {
	if w.cancel != nil {
		w.cancel()
		<-w.done
		w.cancel = nil
	}
}

// refuse turns the verdicts that no waiting will change into errors.
func refuse(r lease.Request, v lease.Verdict) error {
	if v.Reason == lease.TooHeavy {
		return fmt.Errorf("%w: %d slots of pool %s wanted at once, its limit is %d", lease.ErrTooHeavy, r.Weight, r.Pool, v.Limit)
	}
	return nil
}
