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

// Interrupts are what somebody else wants done with a waiter's place while it
// waits. The zero value is ready for use.
type Interrupts struct {
	mu     sync.Mutex
	todo   []func(context.Context, lease.Place) error
	cancel context.CancelFunc // ends what the waiter does now; nil: it can be told nothing
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
	for _, f := range todo {
		if err := f(ctx, p); err != nil {
			return true, err
		}
	}
	switch {
	case ctx.Err() != nil: // perhaps while f ran; what ended it says less
		return true, context.Cause(ctx)
	case len(todo) > 0:
		return true, nil // what ended it was ours
	}
	return false, err
}

// wait is p.Wait, for no longer than again (0: as long as it takes).
func (in *Interrupts) wait(ctx context.Context, p lease.Place, again time.Duration) error {
	_, err := in.during(ctx, p, func(ctx context.Context) error {
		if again == 0 {
			return p.Wait(ctx)
		}
		short, cancel := context.WithTimeout(ctx, again)
		defer cancel()
		if err := p.Wait(short); err != nil && (short.Err() == nil || ctx.Err() != nil) {
			return err
		}
		return nil
	})
	return err
}

// ask asks the gates that v names; interrupted says that they did not come to an
// answer.
func (in *Interrupts) ask(ctx context.Context, p lease.Place, v lease.Verdict, ask Ask) (a Answer, interrupted bool, err error) {
	interrupted, err = in.during(ctx, p, func(ctx context.Context) error {
		var err error
		a, err = ask(ctx, p, v)
		return err
	})
	return a, interrupted, err
}

// Ask asks the gates of a verdict that is lease.Gated, for the place at the head
// of the line. It holds no lock and no slot meanwhile, and soon returns when ctx
// ends. An error ends the wait.
type Ask func(context.Context, lease.Place, lease.Verdict) (Answer, error)

// Answer is what the gates said.
type Answer struct {
	Open bool
	// Undecided: neither open nor closed, until Again is over.
	Undecided bool
	Why       string        // what is closed, for people
	Again     time.Duration // ask again then, or when a slot frees
}

// Options of Acquire. The zero value waits as long as the context allows.
type Options struct {
	// Now: do not wait, but for the gates to decide.
	Now bool
	// Ask asks gates; nil: those that are to be asked stay closed.
	Ask Ask
	// Interrupts of the wait; nil: none.
	Interrupts *Interrupts
	// Joined is told the ticket, once there is one; nil: nobody asks.
	Joined func(lease.Ticket)
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
		if o.Now && (v.Reason != lease.Gated || o.Ask == nil) {
			return nil, &BusyError{Pool: r.Pool, Verdict: v}
		}
	}
	p, err := s.Line(ctx, r)
	if err != nil {
		return nil, late(r, lease.Verdict{}, err)
	}
	if o.Joined != nil {
		o.Joined(p.Ticket())
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
	in := o.Interrupts
	if in == nil {
		in = &Interrupts{}
	}
	var asked []string
	why := "" // the gates' last word
	for first := true; ; first = false {
		h, v, err := p.TryAcquire(ctx, asked...)
		if h != nil || err != nil {
			return h, v, err
		}
		// Only at first: who becomes too heavy later stands in a pool whose
		// limit was lowered since, and can be raised again.
		if first {
			if err := refuse(p.Ticket().Request, v); err != nil {
				return nil, v, err
			}
		}
		asked = nil
		var a Answer
		if v.Reason == lease.Gated && o.Ask != nil {
			v.Why = why
			interrupted := false
			a, interrupted, err = in.ask(ctx, p, v, o.Ask)
			if a.Why != "" {
				v.Why, why = a.Why, a.Why
			}
			if err != nil {
				return nil, v, err
			}
			if interrupted {
				continue
			}
			if a.Open {
				asked = v.Gates
				continue
			}
		}
		if o.Now && !a.Undecided {
			return nil, v, errNow
		}
		if err := in.wait(ctx, p, a.Again); err != nil {
			return nil, v, err
		}
	}
}

// refuse turns the verdicts that no waiting will change into errors.
func refuse(r lease.Request, v lease.Verdict) error {
	if v.Reason == lease.TooHeavy {
		return fmt.Errorf("%w: %d slots of pool %s wanted at once, its limit is %d", lease.ErrTooHeavy, r.Weight, r.Pool, v.Limit)
	}
	return nil
}
