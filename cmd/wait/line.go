package wait

import (
	"context"
	"errors"
	"time"

	"berth/cmd/tty"
	"berth/lease"
	"berth/limiter"
)

// lineUp stands in the line until the slots are ours. before is what the first try has found
// out. Most signals end the wait; Ctrl-Z suspends it, and the others pass until it goes on.
func (w *Waiter) lineUp(ctx context.Context, gated bool, before seen) (*limiter.Session, error) {
	var interrupts limiter.Interrupts
	options := limiter.Options{
		Now: w.AtMost == 0, Line: w.Line, Verdict: before.verdict, Outage: before.outage,
		Trouble: w.Trouble, Ask: w.Ask, Interrupts: &interrupts, First: w.First,
	}
	begin := w.allowed
	if w.Replace != nil {
		begin = w.replacing(&options)
	}
	ctx, cancel := begin(ctx, gated)
	defer cancel()
	display := w.Progress.begin(func(t lease.Ticket) (*lease.Pool, error) { return w.read(context.Background(), t, time.Second) })
	options.Joined = func(ctx context.Context, t lease.Ticket) {
		display.joined(t)
		if w.Joined != nil {
			w.Joined(ctx, t)
		}
	}
	m := waitingFor{
		returns: true, afterSignal: -1,
		stepAside: func() { interrupts.Do(w.stepAside) },
		resumed:   func() { interrupts.Do(onlyTryAgain) },
	}
	if w.Remote {
		m.afterSignal = endWithin
	}
	s, err := await(ctx, w, m, func(ctx context.Context) (*limiter.Session, error) {
		return limiter.Acquire(ctx, w.Store, w.Request, options)
	})
	display.end()
	if s != nil && err != nil { // too late for the wait and too early for the command
		err = errors.Join(err, s.Unused(context.Background()))
		if w.GivenBack != nil {
			w.GivenBack(s.Lease())
		}
		return nil, err
	}
	return s, w.withState(err)
}

// onlyTryAgain does nothing, and has the waiter try again after that.
func onlyTryAgain(context.Context, lease.Place) error { return nil }

// stepAside suspends this process, and lets the others pass until it goes on. It is called by
// the goroutine that has the place.
func (w *Waiter) stepAside(ctx context.Context, p lease.Place) error {
	if !w.requested() {
		return nil // a CONT has come
	}
	err := p.StepAside(ctx)
	time.Sleep(tty.ContGrace)
	w.suspendIf(w.take) // else a CONT has come, or await has suspended this process
	if err != nil {
		return nil // the others have passed a frozen process within a minute
	}
	return p.Return(ctx)
}
