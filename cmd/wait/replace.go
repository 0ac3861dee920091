package wait

import (
	"context"
	"sync"
	"time"

	"berth/lease"
	"berth/limiter"
)

// NotReplacedError says that a request did not get its slots because a job that was to make
// room for it did not.
type NotReplacedError struct {
	Busy *limiter.BusyError
	Err  error
}

func (e *NotReplacedError) Error() string   { return e.Busy.Error() + "; " + e.Err.Error() }
func (e *NotReplacedError) Unwrap() []error { return []error{e.Busy, e.Err} }

// replacing is a wait with Waiter.Replace: once its time is over and it is its turn, jobs are
// ended one after the other until its slots are free. It goes on for as long as their ends
// take. Only the verdict in the line tells whether one more has to end: that nobody is before
// this request, and that nothing but room is missing.
type replacing struct {
	pool string
	end  func(context.Context, lease.Verdict) error // Waiter.Replace
	try  func()                                     // has the waiter try again

	mu     sync.Mutex
	due    bool // the time in the line is over
	late   bool // so is that of the gates
	ending bool // a job is being ended
	failed error
	asking *time.Timer // until late; nil: the gates were not asked since due
	seen   bool        // there was a verdict
}

// replaces reports whether a request that may not wait any more has jobs end after this verdict.
func (w *Waiter) replaces(v lease.Verdict) bool {
	return w.Replace != nil && (v.Reason == lease.Full || v.Reason == lease.Behind)
}

// replacing prepares the options of a wait. The function that it returns takes the place of
// Waiter.allowed: gates have time of their own after a job has ended.
func (w *Waiter) replacing(o *limiter.Options) func(context.Context, bool) (context.Context, context.CancelFunc) {
	r := &replacing{pool: w.Request.Pool, end: w.Replace, try: func() { o.Interrupts.Do(onlyTryAgain) }}
	// The verdict of the first try is no reason to sleep: in the line it may be time to act.
	o.Now, o.Line, o.Verdict = false, true, lease.Verdict{}
	return func(ctx context.Context, _ bool) (context.Context, context.CancelFunc) {
		ctx, cancel := w.replaceAfter(ctx, r)
		o.Waiting = func(v lease.Verdict) error { return r.waiting(ctx, v) }
		return ctx, cancel
	}
}

// waiting is limiter.Options.Waiting.
func (r *replacing) waiting(ctx context.Context, v lease.Verdict) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = true
	switch {
	case r.failed != nil:
		return &NotReplacedError{&limiter.BusyError{Pool: r.pool, Verdict: v}, r.failed}
	case !r.due, r.ending, v.Reason == lease.Behind:
		return nil
	case v.Reason == lease.Full:
		r.ending = true
		go r.endOne(ctx, v)
		return nil
	case v.Reason == lease.Gated && !r.late:
		if r.asking == nil {
			r.asking = time.AfterFunc(decideWithin, func() { r.set(&r.late) })
		}
		return nil
	}
	return context.DeadlineExceeded // a job that ends would change nothing
}

// endOne ends one job. ctx ends with the wait, which does not wait for this.
func (r *replacing) endOne(ctx context.Context, v lease.Verdict) {
	err := r.end(ctx, v)
	r.mu.Lock()
	r.ending, r.failed = false, err
	r.mu.Unlock()
	r.try()
}

func (r *replacing) set(flag *bool) {
	r.mu.Lock()
	*flag = true
	r.mu.Unlock()
	r.try()
}

// tryAtChanges has the waiter try whenever something has changed in the pool. A server need not
// wake one that has become the first in the line before there is room for it.
func (r *replacing) tryAtChanges(ctx context.Context, s lease.Store) {
	changes, err := s.Watch(ctx, r.pool)
	if err != nil {
		return // it tries at its heartbeats
	}
	for range changes {
		r.try()
	}
}

func (r *replacing) sawVerdict() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen
}

// replaceAfter has r begin once the time of w in the line is over. The context ends if the
// store has not said a word some time after that.
func (w *Waiter) replaceAfter(ctx context.Context, r *replacing) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	due := time.AfterFunc(max(0, w.AtMost), func() {
		r.set(&r.due)
		if w.Remote {
			r.tryAtChanges(ctx, w.Store)
		}
	})
	silent := time.AfterFunc(max(0, w.AtMost)+w.answersWithin(), func() {
		if !r.sawVerdict() {
			cancel(context.DeadlineExceeded)
		}
	})
	return ctx, func() {
		due.Stop()
		silent.Stop()
		r.mu.Lock()
		if r.asking != nil {
			r.asking.Stop()
		}
		r.mu.Unlock()
		cancel(nil)
	}
}
