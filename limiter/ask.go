package limiter

import (
	"context"
	"slices"
	"time"

	"berth/lease"
	"berth/lease/clock"
)

// Ask asks the gates of a verdict that is lease.Gated, for the first waiter of the line,
// which holds neither a lock nor a slot while it does. It runs beside the wait, one at a
// time, and returns soon after ctx ends. An error ends the wait.
type Ask func(context.Context, lease.Verdict) (GateState, error)

// GateState is what the gates said.
type GateState struct {
	Open bool
	// Undecided: neither open nor closed, until Again is over.
	Undecided bool
	Why       string        // what is closed, for people
	Again     time.Duration // ask again then, or when a slot frees
	// Report is to be left in the pool (its Why and Data); nil: nothing new.
	Report *lease.Report
}

// question is what the gates are being asked.
type question struct {
	v      lease.Verdict
	at     clock.Instant   // when it began, on the store's clock
	done   context.Context // ends with the answer
	cancel context.CancelFunc
	answer GateState // when done has ended
	err    error
	// cancelled: its answer is not wanted any more, but has not come yet.
	cancelled bool
}

func start(ctx context.Context, s lease.Store, v lease.Verdict, ask Ask) *question {
	ctx, cancel := context.WithCancel(ctx)
	done, finish := context.WithCancel(context.Background())
	q := &question{v: v, at: s.Clock(), done: done, cancel: cancel}
	go func() {
		defer finish()
		defer cancel()
		q.answer, q.err = ask(ctx, v)
	}()
	return q
}

// answers reports whether its answer will be one for v.
func (q *question) answers(v lease.Verdict) bool {
	return q != nil && !q.cancelled && slices.Equal(q.v.Gates, v.Gates) && q.v.Last == v.Last
}

// waiter stands in the line. The gates are asked beside the wait, because a slot that
// frees, or new settings, may make their answer needless.
type waiter struct {
	store lease.Store
	place lease.Place
	Options
	q   *question // under way; nil: none
	why string    // the gates' last word
}

// wait waits until v may be another, and returns which of its gates are open.
func (w *waiter) wait(ctx context.Context, v lease.Verdict) (lease.Clearance, error) {
	gated := v.Reason == lease.Gated && w.Ask != nil
	if !gated || !w.q.answers(v) {
		w.drop()
	}
	switch {
	case !gated && w.Now:
		return lease.Clearance{}, errNow
	case !gated:
		_, err := w.Interrupts.wait(ctx, w.place, ctx)
		return lease.Clearance{}, err
	case w.q == nil:
		w.q = start(ctx, w.store, v, w.Ask)
	}
	interrupted, err := w.Interrupts.wait(ctx, w.place, w.q.done)
	switch {
	case err != nil:
		return lease.Clearance{}, err
	case interrupted: // Interrupts.pause has dropped the question.
		return lease.Clearance{}, nil
	case w.q.cancelled:
		w.drop()
		return lease.Clearance{}, nil
	case w.q.done.Err() == nil: // something else happened
		return lease.Clearance{}, nil
	}
	return w.answered(ctx)
}

// answered takes the answer, and waits as long as it says if it is a no.
func (w *waiter) answered(ctx context.Context) (lease.Clearance, error) {
	q := w.q
	w.q = nil
	switch {
	case outage(q.err) && !w.Now: // the gates could not read the pool
		again, cancel := context.WithTimeout(ctx, askAgain)
		defer cancel()
		_, err := w.Interrupts.wait(ctx, w.place, again)
		return lease.Clearance{}, err
	case q.err != nil:
		return lease.Clearance{}, q.err
	}
	if r := q.answer.Report; r != nil { // nothing depends on it
		short, cancel := context.WithTimeout(ctx, reportWithin)
		_ = w.place.Report(short, r.Why, r.Data)
		cancel()
	}
	if q.answer.Open {
		return lease.Clearance{Gates: q.v.Gates, Last: q.v.Last, At: q.at}, nil
	}
	w.why = q.answer.Why
	if w.Now && !q.answer.Undecided {
		return lease.Clearance{}, errNow
	}
	again, cancel := context.WithTimeout(ctx, q.answer.Again)
	defer cancel()
	_, err := w.Interrupts.wait(ctx, w.place, again)
	return lease.Clearance{}, err
}

// reportWithin is how long a report may keep the waiter from its turn.
const reportWithin = 2 * time.Second

// askAgain is how long after an outage gates are asked again.
const askAgain = 200 * time.Millisecond

// dropWithin is how long drop waits for a question to end. One that reads a disk whose
// server is gone may never end: it is left alone then, and no other is asked before it has.
const dropWithin = 500 * time.Millisecond

// drop ends a question that is under way, and keeps its reason if it has one by then.
func (w *waiter) drop() {
	if w.q == nil {
		return
	}
	w.q.cancel()
	wait := dropWithin
	if w.q.cancelled {
		wait = 0 // it has had that time
	}
	w.q.cancelled = true
	select {
	case <-w.q.done.Done():
		if why := w.q.answer.Why; why != "" {
			w.why = why
		}
		w.q = nil
	case <-time.After(wait):
		w.why = "what the gates read does not come back"
	}
}

// explain is v with what the gates said last.
func (w *waiter) explain(v lease.Verdict) lease.Verdict {
	w.drop()
	if v.Reason == lease.Gated {
		v.Why = w.why
	}
	return v
}
