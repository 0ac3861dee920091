// Package limiter decides when a caller may hold slots: it lines up, waits for its turn,
// has the gates asked and takes the slots. A Session then keeps them.
//
// It knows nothing of where pools live (package lease) or of the process that runs in the
// slots (package procwatch).
package limiter

import (
	"context"
	"errors"
	"time"

	"berth/lease"
	"berth/lease/retry"
)

// Options of Acquire. The zero value waits as long as the context allows.
type Options struct {
	// Now: do not wait, except for the gates to answer.
	Now bool
	// Verdict is what an Acquire with Now got a moment ago. This one then lines up at once
	// instead of trying first. The zero value: there was none.
	Verdict lease.Verdict
	// Outage is why an Acquire with Now could not reach the store a moment ago. This one
	// then lines up at once, too. nil: it could, or there was none.
	Outage error
	// Line: line up at once, without trying first.
	Line bool
	// Trouble is called once when the store cannot be reached and is tried again; it may
	// be nil.
	Trouble func(error)
	// Ask asks gates; nil: they stay closed.
	Ask Ask
	// Interrupts of the wait; nil: none.
	Interrupts *Interrupts
	// Joined is called with the ticket once there is one. It returns soon after the end of ctx,
	// which ends with the wait; it may be nil.
	Joined func(ctx context.Context, t lease.Ticket)
	// Waiting is called with each verdict that this caller gets in the line and that has it
	// wait. Its error ends the wait. It may be nil.
	Waiting func(lease.Verdict) error
	// First is called whenever this caller is the first in the line and has to wait: the
	// moment to prepare what a start needs. It may be nil.
	First func()
}

// Acquire takes the slots r asks for, first come first served. It returns
// *BusyError when ctx ended by its deadline (or at once, with Options.Now), the
// context's cause when it was cancelled, *lease.StoppedError when this
// waiter was told to leave, lease.ErrTooHeavy when r can never start. After
// an error nothing is held and no ticket is left, unless r.Key keeps one. A store that
// is out of reach is waited for like a slot, from the first step on, unless o.Now; when
// ctx ended before it was back the error is *lease.UnreachableError, and what is left of
// a ticket ends with r.TTL.
func Acquire(ctx context.Context, s lease.Store, r lease.Request, o Options) (*Session, error) {
	h, err := take(ctx, s, r, o)
	if err != nil {
		return nil, err
	}
	return NewSession(h), nil
}

func take(ctx context.Context, s lease.Store, r lease.Request, o Options) (lease.Holding, error) {
	v := o.Verdict
	if r.Key == "" && !o.Line && v.Reason == "" && o.Outage == nil { // a key keeps its place in the line, so line up even if only to be told that it is busy
		h, now, err := s.TryAcquire(ctx, r)
		if h != nil || err != nil && (o.Now || !outage(err)) {
			return h, late(r, lease.Verdict{}, err)
		}
		v, o.Outage = now, err
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
		o.Joined(ctx, p.Ticket())
	}
	h, now, err := stand(ctx, s, p, o, v)
	if err == nil {
		return h, nil
	}
	if now.Reason != "" {
		v = now
	}
	// ctx may have ended. The process that has the pool's lock may be frozen, so this has a
	// time limit of its own, and the line removes the ticket later.
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
	if o.Outage != nil && outage(err) && errors.Is(err, context.DeadlineExceeded) {
		err = o.Outage // that there was no time to try again says less
	}
	return p, err
}

// outage reports whether err may pass by itself.
func outage(err error) bool { return errors.As(err, new(*lease.UnreachableError)) }

// late turns the end of the time allowed into a BusyError.
func late(r lease.Request, v lease.Verdict, err error) error {
	// It was the store, unless the store has answered before: then it was the time.
	if outage(err) && (v.Reason == "" || !errors.Is(err, context.DeadlineExceeded)) {
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
// are before it. A Gated verdict does not let it sleep: only the first in the line asks the
// gates, and it must find out whether it is the first.
func stand(ctx context.Context, s lease.Store, p lease.Place, o Options, v lease.Verdict) (lease.Holding, lease.Verdict, error) {
	w := &waiter{store: s, place: p, Options: o}
	if w.Interrupts == nil {
		w.Interrupts = &Interrupts{}
	}
	w.Interrupts.pause = w.drop // what is to be done may suspend us, and a gate's command would run on
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
		// Only at first: the limit of a pool that was lowered since can be raised again.
		if first {
			if err := refuse(p.Ticket().Request, v); err != nil {
				return nil, v, err
			}
		}
		if o.First != nil && v.Reason != lease.Behind {
			o.First()
		}
		if o.Waiting != nil {
			if err := o.Waiting(v); err != nil {
				return nil, w.explain(v), err
			}
		}
		if asked, err = w.wait(ctx, v); err != nil {
			return nil, w.explain(v), err
		}
	}
}
