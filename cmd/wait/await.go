package wait

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"berth/cmd/tty"
	"berth/lease"
	"berth/limiter"
)

// waitingFor is how await waits for a function. The zero value is for one that may never
// return: it is abandoned when a signal ends this process, when a lease that is held is lost or
// stopped, or when its context ends.
type waitingFor struct {
	returns     bool          // it returns soon after the end of its context, and is waited for
	afterSignal time.Duration // how long it may take to return after that; negative: as long as it takes
	stepAside   func()        // lets others pass before this process is suspended; nil: nobody stands behind it
	resumed     func()        // is told of a CONT; nil: nothing has to be told
}

// errLeft says that a function was abandoned because its context had ended.
var errLeft = errors.New("did not come back")

// await returns what f returns, and hears signals until then, and what becomes of the leases
// that are held. A signal that ends this process ends the context of f, and its tty.SignalError
// is the error; so does the loss or the stop of such a lease. If f succeeds after that, its
// value is returned together with the error.
func await[T any](ctx context.Context, w *Waiter, m waitingFor, f func(context.Context) (T, error)) (none T, err error) {
	type outcome struct {
		v   T
		err error
	}
	over := ctx.Done()
	if m.returns {
		over = nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a := awaiting{Waiter: w, waitingFor: m, cancel: cancel}
	w.Signals.Catch([]os.Signal{tty.CONT}) // which cancels a TSTP
	done := make(chan outcome, 1)
	go func() {
		v, err := f(ctx)
		done <- outcome{v, err}
	}()
	held := w.Held.Events()
	for err == nil {
		select {
		case o := <-done:
			a.following.wait()
			if w.take() { // the TSTP came too late for this: the next loop that hears signals follows it
				w.Signals.Requeue(tty.TSTP)
			}
			if o.err == nil {
				o.err = a.ended
			}
			return o.v, o.err
		case sig := <-w.Signals.Next():
			err = a.heard(sig)
		case ev := <-held:
			err = a.end(w.ends(ev))
		case <-a.suspendAt:
			if !a.following.pending() {
				a.following = w.suspend()
			}
		case <-a.giveUp:
			err = a.ended
		case <-over:
			err = errLeft
		}
	}
	a.following.cancel()
	return none, err
}

// awaiting is the state of await.
type awaiting struct {
	*Waiter
	waitingFor
	cancel    context.CancelCauseFunc // ends the context of the function
	ended     error                   // why it was
	giveUp    <-chan time.Time        // when the function has had its time to return after that
	suspendAt <-chan time.Time        // when to follow a TSTP
	following *suspending
}

// heard does what a signal means, and returns an error if the function is to be abandoned at
// once.
func (a *awaiting) heard(sig syscall.Signal) error {
	switch tty.ClassOf(sig, tty.Alone) {
	case tty.Resume:
		a.resume()
		a.Held.Renew() // who tells a lease something rouses its owner so
		if a.resumed != nil {
			a.resumed()
		}
	case tty.Suspend:
		if d := a.suspendIn(a.waitingFor); d > 0 {
			a.suspendAt = time.After(d)
		}
	case tty.Terminate:
		return a.end(tty.SignalError{Signal: sig})
	}
	return nil
}

// end ends the context of the function for a reason, unless that is nil. It returns the reason
// if the function is to be abandoned at once.
func (a *awaiting) end(why error) error {
	if why == nil {
		return nil
	}
	a.ended = why
	a.resume() // a process that is to end is not suspended any more, not even when the function returns
	a.cancel(why)
	if a.afterSignal == 0 {
		return why
	}
	if a.afterSignal > 0 && a.giveUp == nil {
		a.giveUp = time.After(a.afterSignal)
	}
	return nil
}

// ends is why the wait ends after such an event of a lease that is held already; nil: it goes
// on. A job that runs may go on when its lease is lost, but this one has not started.
func (w *Waiter) ends(ev limiter.Event) error {
	switch {
	case ev.Stop != nil:
		return &lease.StoppedError{Stop: *ev.Stop}
	case ev.Kind == limiter.Lost:
		return &HeldLostError{ev.Err, w.Request.Pool}
	}
	return nil
}

// HeldLostError says that a lease was lost while its job waited for a slot of another pool.
type HeldLostError struct {
	Err  error // *limiter.LostError
	Pool string
}

func (e *HeldLostError) Error() string {
	return fmt.Sprintf("%v; the job still waited for pool %s and was not started", e.Err, e.Pool)
}
func (e *HeldLostError) Unwrap() error { return e.Err }

// suspendIf is SuspendIf, with the leases that are held extended before that.
func (w *Waiter) suspendIf(wanted func() bool) {
	_ = w.Held.Suspend(func() { w.SuspendIf(wanted) }) // one that was not is lost by the time that this goes on, which tells
}

const (
	// suspendWithin is how soon after a Ctrl-Z the shell's prompt is back, whatever the
	// store does.
	suspendWithin = 300 * time.Millisecond
	// endWithin is how soon a signal ends the wait when a server does not answer: nothing
	// can be given back then, and our ticket or lease ends with its TTL.
	endWithin = time.Second
)

// suspendIn is told of a TSTP, and returns after how much time await is to suspend this
// process; 0: not at all.
//
// When others stand behind it, this process is suspended once they can pass. But a call to a
// server may take as long as an outage, and it keeps no other process from passing. This
// process is then suspended in the middle of the call. The server treats it as frozen and
// gives it back its place when it is continued. In a directory the call may hold the pool's
// lock, so this process is never suspended in the middle of it.
func (w *Waiter) suspendIn(m waitingFor) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.suspension.Requested() || !w.suspension.Request(time.Now(), tty.Foreground()) {
		return 0
	}
	if m.stepAside == nil {
		return tty.ContGrace
	}
	m.stepAside()
	if w.Remote {
		return suspendWithin
	}
	return 0
}

// requests holds what Ctrl-Z and fg have requested. The goroutine that stands in the line
// reads it, too.
type requests struct {
	mu         sync.Mutex
	suspension tty.Suspension
}

func (r *requests) resume() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.suspension.Resume(time.Now())
}

func (r *requests) requested() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.suspension.Requested()
}

func (r *requests) take() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.suspension.Take()
}
