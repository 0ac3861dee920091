package cmd

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"berth/lease"
	"berth/limiter"
)

// acquire takes the slots, at once if that is possible.
func (r *runner) acquire() (lease.Holding, error) {
	var own lease.Settings
	if r.spec.request.Key == "" {
		// Without looking for signals, and so not for long.
		ctx, cancel := context.WithTimeout(context.Background(), firstTry)
		defer cancel()
		h, err := limiter.Acquire(ctx, r.store, r.spec.request, limiter.Options{Now: true})
		var busy *limiter.BusyError
		late := err != nil && ctx.Err() != nil
		if !late && (!errors.As(err, &busy) || r.spec.wait == 0 && busy.Verdict.Reason != lease.Gated) {
			return h, r.unlucky(err)
		}
		if busy == nil {
			busy = &limiter.BusyError{}
		}
		own = busy.Verdict.Own
		if busy.Verdict.Reason == lease.Recovers && r.spec.wait != 0 { // which nobody would guess
			r.say.notef("pool %s: %v", r.spec.request.Pool, busy.Verdict)
		}
	} else if p := r.inTheWay(lease.Ticket{}); p != nil {
		own = p.Own
	}
	r.gated = r.spec.request.Gates != "" || own.Gates != ""
	if own.Gates != "" {
		if err := r.checkGates(func() error { return r.asker.checkPool(own) }); err != nil {
			return nil, err
		}
	}
	if r.spec.exec {
		r.catchDrastic()
	}
	<-r.caught
	catchSignals(r.signals, harmless)
	return r.wait()
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
	case r.spec.wait < 0:
		return context.WithCancel(ctx)
	case r.spec.wait == 0 && r.gated:
		return context.WithTimeout(ctx, notWaiting+decideWithin)
	case r.spec.wait == 0 && r.store.remote:
		return context.WithTimeout(ctx, answers)
	case r.spec.wait == 0:
		return context.WithTimeout(ctx, notWaiting)
	default:
		return context.WithTimeout(ctx, r.spec.wait)
	}
}

// inLine is the way from the line to the slots, with an ear for signals: most
// end the wait, Ctrl-Z stops it and lets the others pass until it goes on.
type inLine struct {
	r          *runner
	interrupts limiter.Interrupts
	stopping   atomic.Bool // asked for, and not done yet
	cancel     context.CancelCauseFunc
	continued  time.Time // when the last CONT came
	signal     error     // the signal that ended the wait
}

// outcome is what came of standing in the line.
type outcome struct {
	h   lease.Holding
	err error
}

// wait lines up.
func (r *runner) wait() (lease.Holding, error) {
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
		h, err := limiter.Acquire(ctx, r.store, r.spec.request, limiter.Options{
			Now: r.spec.wait == 0, Ask: r.asker.ask, Interrupts: &l.interrupts, Joined: w.joined,
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
		case sig := <-r.signals:
			l.hear(sig)
		}
	}
}

func (l *inLine) hear(sig os.Signal) {
	switch sig {
	case sigWINCH, syscall.SIGPIPE:
	case sigCONT:
		l.stopping.Store(false)
		l.continued = time.Now()
		l.interrupts.Do(func(context.Context, lease.Place) error { return nil })
	case sigTSTP:
		if !revoked(l.continued) && !l.stopping.Swap(true) {
			l.interrupts.Do(l.stepAside)
		}
	default:
		l.signal = signalError{sig.(syscall.Signal)}
		l.cancel(l.signal)
	}
}

// stepAside stops this process, and lets the others pass meanwhile.
func (l *inLine) stepAside(ctx context.Context, p lease.Place) error {
	err := p.StepAside(ctx)
	time.Sleep(soon)
	if l.stopping.Swap(false) { // else a CONT came since
		l.r.store.stop()
	}
	if err != nil {
		return nil // the others passed us all the same, within a minute
	}
	return p.Return(ctx)
}

func (l *inLine) over(o outcome) (lease.Holding, error) {
	if l.signal != nil && o.h != nil {
		// Too late for the wait and too early for the command: it is not
		// started.
		return nil, errors.Join(l.signal, release(o.h))
	}
	if l.stopping.Load() && o.h != nil {
		select { // it came too late for the wait: the job gets it
		case l.r.signals <- sigTSTP:
		default:
		}
	}
	return o.h, l.r.unlucky(o.err)
}

// unlucky adds to an error what the caller should know of who is in the way.
func (r *runner) unlucky(err error) error {
	var busy *limiter.BusyError
	if !errors.As(err, &busy) {
		return err
	}
	if out := (*lease.UnreachableError)(nil); r.spec.wait == 0 && errors.As(busy.Err, &out) {
		return out // whoever does not wait has waited for the store, and not for a slot
	}
	return &busyError{err, r.spec.request.Pool, r.inTheWay(lease.Ticket{}), r.store.Clock()}
}
