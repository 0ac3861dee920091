package cmd

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"

	"berth/cmd/tty"
	"berth/lease"
	"berth/limiter"
	"berth/procwatch"
)

// acquire takes the slots, at once if that is possible.
func (r *runner) acquire() (*limiter.Session, error) {
	var last lease.Verdict
	var out error // the store could not be reached
	if r.spec.Request.Key == "" {
		// Without looking for signals, and so not for long.
		ctx, cancel := context.WithTimeout(context.Background(), firstTry)
		defer cancel()
		h, err := limiter.Acquire(ctx, r.store, r.spec.Request, limiter.Options{Now: true})
		var busy *limiter.BusyError
		if r.spec.Wait != 0 && errors.As(err, new(*lease.UnreachableError)) {
			out = err
		}
		late := out != nil || err != nil && ctx.Err() != nil && !r.heldUp(err)
		if !late && (!errors.As(err, &busy) || r.spec.Wait == 0 && busy.Verdict.Reason != lease.Gated) {
			return h, r.unlucky(err)
		}
		if busy == nil {
			busy = &limiter.BusyError{}
		}
		last = busy.Verdict
		if busy.Verdict.Reason == lease.Recovering && r.spec.Wait != 0 { // which nobody would guess
			r.say.notef("pool %s: %v", r.spec.Request.Pool, busy.Verdict)
			if !r.spec.Quiet {
				r.say.advise(freshHint(r.store.Where))
			}
		}
	} else {
		atMost := firstTry
		if r.store.Remote {
			atMost = notWaiting
		}
		p, err := r.look(lease.Ticket{}, atMost)
		if r.heldUp(err) {
			return nil, r.unlucky(&limiter.BusyError{Pool: r.spec.Request.Pool, Err: err})
		}
		if err == nil {
			last.Own = p.Own
		}
	}
	own := last.Own
	if r.spec.Exec {
		go r.catchDrastic()
	}
	<-r.caught
	r.signals.Catch(tty.Others)
	r.gated = r.spec.Request.Gates != "" || own.Gates != ""
	if own.Gates != "" {
		if err := r.checkGates(func() error { return r.asker.checkPool(own) }); err != nil {
			return nil, err
		}
	}
	return r.wait(last, out)
}

// heldUp reports whether one who does not wait has met one process that keeps the
// pool's lock: who has been told so does not line up for it.
func (r *runner) heldUp(err error) bool {
	return r.spec.Wait == 0 && errors.As(err, new(*lease.LockHeldError))
}

// firstTry is how long somebody may have the pool's lock before we line up for
// it with an ear for signals.
const firstTry = 500 * time.Millisecond

// notWaiting is how long "at once" may take when somebody is frozen in the
// pool's lock.
const notWaiting = time.Second

// answers is the same for a server, which may be far away.
const answers = 5 * time.Second

// decideWithin is how much longer it may take when gates have to decide first: CPU
// use needs two samples, and a command of the user's takes its time.
const decideWithin = 12 * time.Second

// allowed ends ctx when the time in the line is over.
func (r *runner) allowed(ctx context.Context) (context.Context, context.CancelFunc) {
	switch {
	case r.spec.Wait < 0:
		return context.WithCancel(ctx)
	case r.spec.Wait == 0 && r.gated:
		return context.WithTimeout(ctx, notWaiting+decideWithin)
	case r.spec.Wait == 0 && r.store.Remote:
		return context.WithTimeout(ctx, answers)
	case r.spec.Wait == 0:
		return context.WithTimeout(ctx, notWaiting)
	default:
		return context.WithTimeout(ctx, r.spec.Wait)
	}
}

// inLine is the way from the line to the slots, with an ear for signals: most
// end the wait, Ctrl-Z stops it and lets the others pass until it goes on.
type inLine struct {
	r          *runner
	interrupts limiter.Interrupts
	mu         sync.Mutex // of ctl, which the waiter looks at as well
	ctl        tty.Suspension
	late       <-chan time.Time // the waiter has not come to stop us by then
	gone       <-chan time.Time // nor has it come to its end
	cancel     context.CancelCauseFunc
	signal     error // the signal that ended the wait
}

// outcome is what came of standing in the line.
type outcome struct {
	h   *limiter.Session
	err error
}

// wait lines up, after that verdict, or because the store was out of reach then.
func (r *runner) wait(last lease.Verdict, out error) (*limiter.Session, error) {
	l := &inLine{r: r}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	l.cancel = cancel
	ctx, stop := r.allowed(ctx)
	defer stop()
	w := newWaiting(r)
	defer w.end()
	// Done once before, it takes half the time when a job waits for it.
	_ = r.environ(&lease.Lease{Slots: []int{0}})
	done := make(chan outcome, 1)
	go func() {
		h, err := limiter.Acquire(ctx, r.store, r.spec.Request, limiter.Options{
			Now: r.spec.Wait == 0, Verdict: last, Out: out, Trouble: r.say.trouble, Ask: r.asker.ask, Interrupts: &l.interrupts, Joined: w.joined,
			First: func() { procwatch.Reserve(r.store.Remote) }, // at a hand-over it would take 0.6 ms
		})
		done <- outcome{h, err}
	}()
	for {
		select {
		case o := <-done:
			w.end()
			return l.over(o)
		case <-w.tick():
			w.look()
		case now := <-w.read:
			w.show(now)
		case sig := <-r.signals.Next():
			l.hear(sig)
		case <-l.late:
			l.stopAnyway()
		case <-l.gone:
			return nil, l.signal
		}
	}
}

func (l *inLine) hear(sig syscall.Signal) {
	switch tty.ClassOf(sig, tty.Alone) {
	case tty.Resume:
		l.resume()
		l.interrupts.Do(func(context.Context, lease.Place) error { return nil })
	case tty.Suspend:
		if !l.requested() && l.request() {
			l.interrupts.Do(l.stepAside)
			l.late = time.After(promptly)
		}
	case tty.Terminate:
		l.signal = tty.SignalError{Signal: sig}
		l.cancel(l.signal)
		if l.r.store.Remote && l.gone == nil {
			l.gone = time.After(atOnce)
		}
	}
}

const (
	// promptly is how soon after a Ctrl-Z the shell's prompt is to be back, whatever
	// the store does.
	promptly = 300 * time.Millisecond
	// atOnce is how soon a signal ends the wait where a server does not answer: then
	// nothing can be given back, and what it has of us ends with its TTL.
	atOnce = time.Second
)

func (l *inLine) request() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ctl.Request(time.Now(), tty.Foreground())
}

func (l *inLine) resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ctl.Resume(time.Now())
}

func (l *inLine) requested() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ctl.Requested()
}

func (l *inLine) take() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ctl.Take()
}

// stepAside stops this process, and lets the others pass meanwhile.
func (l *inLine) stepAside(ctx context.Context, p lease.Place) error {
	if !l.requested() {
		return nil // it is over
	}
	err := p.StepAside(ctx)
	time.Sleep(tty.ContGrace)
	if l.take() { // else a CONT came since, or it was done without us
		l.r.store.Suspend()
	}
	if err != nil {
		return nil // the others passed us all the same, within a minute
	}
	return p.Return(ctx)
}

// stopAnyway stops this process where the waiter is in a call to a server, which may
// take as long as an outage. Nobody waits for what it has in its hands; to the server
// it is one that was frozen, and has its place again when it goes on. In a directory
// the call may have the pool's lock.
func (l *inLine) stopAnyway() {
	l.late = nil
	if l.r.store.Remote && l.take() {
		l.r.store.Suspend()
	}
}

func (l *inLine) over(o outcome) (*limiter.Session, error) {
	if l.signal != nil && o.h != nil {
		// Too late for the wait and too early for the command: it is not
		// started.
		return nil, errors.Join(l.signal, unused(o.h))
	}
	if l.requested() && o.h != nil {
		l.r.signals.Requeue(tty.TSTP) // it came too late for the wait: the job gets it
	}
	return o.h, l.r.unlucky(o.err)
}

// unlucky adds to an error what the caller should know of who is in the way.
func (r *runner) unlucky(err error) error {
	var busy *limiter.BusyError
	if !errors.As(err, &busy) {
		return err
	}
	if out := (*lease.UnreachableError)(nil); r.spec.Wait == 0 && errors.As(busy.Err, &out) {
		return out // whoever does not wait has waited for the store, and not for a slot
	}
	if errors.As(err, new(*lease.LockHeldError)) { // nothing more is to be seen behind it
		return &busyError{err, r.spec.Request.Pool, r.spec.Request.Conditions, nil, r.store.Clock()}
	}
	state, ended := r.inTheWay()
	if ended != nil {
		return ended
	}
	return &busyError{err, r.spec.Request.Pool, r.spec.Request.Conditions, state, r.store.Clock()}
}
