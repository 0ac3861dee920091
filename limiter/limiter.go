// Package limiter decides when a caller may hold slots: it lines up, waits for
// its turn, has the gates asked and takes.
//
// It knows nothing of where pools live (package lease) and nothing of the
// child that runs afterwards (package procwatch).
package limiter

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"berth/lease"
	"berth/lease/retry"
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
	if e.Verdict.Reason == "" && e.Err != nil { // nobody has decided yet
		return fmt.Sprintf("no slot of pool %s: %v", e.Pool, e.Err)
	}
	return fmt.Sprintf("no slot of pool %s: %s", e.Pool, e.Verdict)
}

func (e *BusyError) Unwrap() error { return e.Err }

// Interrupts are what somebody else wants done with a waiter's place while it
// waits. The zero value is ready for use.
type Interrupts struct {
	mu     sync.Mutex
	todo   []func(context.Context, lease.Place) error
	cancel context.CancelFunc // ends what the waiter does now; nil: it can be told nothing
	pause  func()             // is called before anything is done; nil: nothing
}

// Do has the waiter run f between two looks at its turn, and then look again. A
// place is for one goroutine at a time: f runs on the waiter's. Its error ends
// the wait. When the waiter does not come to it any more, f never runs.
func (in *Interrupts) Do(f func(context.Context, lease.Place) error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.todo = append(in.todo, f)
	if in.cancel != nil {
		in.cancel()
	}
}

// during is f, ended by whatever there is to do, and then doing it: interrupted
// says that there was something, or that ctx is over.
func (in *Interrupts) during(ctx context.Context, p lease.Place, f func(context.Context) error) (interrupted bool, err error) {
	fctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in.mu.Lock()
	in.cancel = cancel
	if len(in.todo) > 0 {
		cancel()
	}
	in.mu.Unlock()
	err = f(fctx)
	in.mu.Lock()
	todo := in.todo
	in.todo, in.cancel = nil, nil
	in.mu.Unlock()
	if len(todo) > 0 && in.pause != nil {
		in.pause()
	}
	for _, f := range todo {
		if err := f(ctx, p); err != nil {
			return true, err
		}
	}
	switch {
	case ctx.Err() != nil: // perhaps while f ran; what ended it says less
		return true, context.Cause(ctx)
	case len(todo) > 0 && fctx.Err() != nil:
		return true, nil // what ended it was ours
	}
	return len(todo) > 0, err
}

// wait is p.Wait, until the context until ends.
func (in *Interrupts) wait(ctx context.Context, p lease.Place, until context.Context) (interrupted bool, err error) {
	return in.during(ctx, p, func(ctx context.Context) error {
		short, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(until, cancel)()
		if err := p.Wait(short); err != nil && (short.Err() == nil || ctx.Err() != nil) {
			return err
		}
		return nil
	})
}

// Options of Acquire. The zero value waits as long as the context allows.
type Options struct {
	// Now: do not wait, but for the gates to decide.
	Now bool
	// Verdict is what the caller was told a moment ago, by an Acquire with Now: it
	// is not asked for again. The zero value: nothing.
	Verdict lease.Verdict
	// Out is why the store could not be reached a moment ago, as an Acquire with Now
	// said: this one lines up, and does not try first. nil: nothing is known.
	Out error
	// Trouble is told that the store cannot be reached and is tried again, once; nil:
	// nobody is told.
	Trouble func(error)
	// Ask asks gates; nil: those that are to be asked stay closed.
	Ask Ask
	// Interrupts of the wait; nil: none.
	Interrupts *Interrupts
	// Joined is told the ticket, once there is one; nil: nobody asks.
	Joined func(lease.Ticket)
	// First is called whenever this caller is the first in the line and has to wait;
	// nil: not interested. It is the moment to prepare what a start needs.
	First func()
}

// Acquire takes the slots r asks for, first come first served. It returns
// *BusyError when ctx ended by its deadline (or at once, with Options.Now), the
// context's cause when it was cancelled, *lease.StoppedError when somebody
// asked this waiter to leave, lease.ErrTooHeavy when r can never start. After
// an error nothing is held and no ticket is left, unless r.Key keeps one. A store that
// is out of reach is waited for like a slot, from the first step on, unless o.Now; when
// ctx ended before it was back the error is *lease.UnreachableError, and what is left of
// a ticket ends with r.TTL.
func Acquire(ctx context.Context, s lease.Store, r lease.Request, o Options) (*Session, error) {
	h, err := acquire(ctx, s, r, o)
	if err != nil {
		return nil, err
	}
	return NewSession(h), nil
}

func acquire(ctx context.Context, s lease.Store, r lease.Request, o Options) (lease.Holding, error) {
	v := o.Verdict
	if r.Key == "" && v.Reason == "" && o.Out == nil { // a key wants its place, however short the visit
		h, now, err := s.TryAcquire(ctx, r)
		if h != nil || err != nil && (o.Now || !outage(err)) {
			return h, late(r, lease.Verdict{}, err)
		}
		v, o.Out = now, err
		if err := refuse(r, v); err != nil {
			return nil, err
		}
		if o.Now && (v.Reason != lease.Gated || o.Ask == nil) {
			return nil, &BusyError{Pool: r.Pool, Verdict: v}
		}
	}
	p, err := join(ctx, s, r, o)
	if err != nil {
		return nil, late(r, v, err)
	}
	if o.Joined != nil {
		o.Joined(p.Ticket())
	}
	h, now, err := stand(ctx, s, p, o, v)
	if err == nil {
		return h, nil
	}
	if now.Reason != "" {
		v = now
	}
	// Leave without ctx, for it may be what ended; but not for ever, for somebody
	// may be frozen in the pool's lock. The line sweeps what is left then.
	lctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveWithin)
	defer cancel()
	if lerr := p.Leave(lctx); lerr != nil && !errors.Is(lerr, context.DeadlineExceeded) && !outage(lerr) {
		err = errors.Join(err, lerr)
	}
	return nil, late(r, v, err)
}

// join takes a place in the line, as soon as the store can be reached. What a try whose
// answer was lost may have taken is no obstacle: the store knows the request by its id.
func join(ctx context.Context, s lease.Store, r lease.Request, o Options) (p lease.Place, err error) {
	if o.Now {
		return s.Line(ctx, r)
	}
	err = retry.Do(ctx, o.Trouble, func(ctx context.Context) (err error) {
		p, err = s.Line(ctx, r)
		return err
	})
	if o.Out != nil && outage(err) && errors.Is(err, context.DeadlineExceeded) {
		err = o.Out // that there was no time to try again says less
	}
	return p, err
}

// outage reports whether err may pass by itself.
func outage(err error) bool { return errors.As(err, new(*lease.UnreachableError)) }

// late turns the end of the time allowed into a BusyError.
func late(r lease.Request, v lease.Verdict, err error) error {
	// For want of a store, unless it has answered before: then it was the time.
	out := (*lease.UnreachableError)(nil)
	if errors.As(err, &out) && (v.Reason == "" || !errors.Is(err, context.DeadlineExceeded)) {
		return err
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errNow) {
		return &BusyError{Pool: r.Pool, Verdict: v, Kept: r.Key != "", Err: err}
	}
	return err
}

const leaveWithin = 2 * time.Second

var errNow = errors.New("not waiting")

// stand waits in the line until it has the slots. v is what was decided before the place
// was taken, if anything was: then it sleeps first, and the store wakes it unless others
// are before it. Not when it was Gated: of many that came at once to an empty line, each
// would ask the gates then, and not only the first of them.
func stand(ctx context.Context, s lease.Store, p lease.Place, o Options, v lease.Verdict) (lease.Holding, lease.Verdict, error) {
	w := &waiter{store: s, place: p, Options: o}
	if w.Interrupts == nil {
		w.Interrupts = &Interrupts{}
	}
	w.Interrupts.pause = w.drop // what is to be done may stop us, and a gate's command would run on
	defer w.drop()
	first := v.Reason == "" || v.Reason == lease.Gated
	if !first {
		if _, err := w.wait(ctx, v); err != nil {
			return nil, v, err
		}
	}
	var asked lease.Clearance
	for ; ; first = false {
		h, now, err := p.TryAcquire(ctx, asked)
		if h != nil {
			return h, now, nil
		}
		if err != nil {
			return nil, w.explain(v), err
		}
		v = now
		// Only at first: who becomes too heavy later stands in a pool whose
		// limit was lowered since, and can be raised again.
		if first {
			if err := refuse(p.Ticket().Request, v); err != nil {
				return nil, v, err
			}
		}
		if o.First != nil && v.Reason != lease.Behind {
			o.First()
		}
		if asked, err = w.wait(ctx, v); err != nil {
			return nil, w.explain(v), err
		}
	}
}

// refuse turns the verdicts that no waiting will change into errors.
func refuse(r lease.Request, v lease.Verdict) error {
	if v.Reason == lease.TooHeavy {
		e := &TooHeavyError{Pool: r.Pool, Weight: r.Weight, Limit: r.LimitIn(v.Own.Limit), Asked: r.Limit > 0}
		if own := v.Own.Limit; own != nil && r.Weight > *own {
			e.Own, e.Asked, e.Limit = true, false, *own
		}
		return e
	}
	return nil
}

// TooHeavyError says that a request wants more slots at once than it could ever get,
// whoever ends. It is lease.ErrTooHeavy.
type TooHeavyError struct {
	Pool          string
	Weight, Limit int
	Own           bool // the limit is the pool's own
	Asked         bool // it is the request's; neither: its Fallback
}

func (e *TooHeavyError) Error() string {
	switch {
	case e.Own:
		return fmt.Sprintf("weight %d is more than pool %s's own limit of %d", e.Weight, e.Pool, e.Limit)
	case e.Asked:
		return fmt.Sprintf("weight %d is more than the limit of %d it was given", e.Weight, e.Limit)
	}
	return fmt.Sprintf("weight %d is more than the %d CPUs, which are the limit while neither pool %s nor the request has one", e.Weight, e.Limit, e.Pool)
}

func (e *TooHeavyError) Unwrap() error { return lease.ErrTooHeavy }
