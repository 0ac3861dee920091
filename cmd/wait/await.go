package wait

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"berth/cmd/tty"
)

// waitingFor is how await waits for a function. The zero value is for one that may never
// return: it is abandoned when a signal ends this process, or when its context ends.
type waitingFor struct {
	returns     bool          // it returns soon after the end of its context, and is waited for
	afterSignal time.Duration // how long it may take to return after a signal; negative: as long as it takes
	stepAside   func()        // lets others pass before this process is suspended; nil: nobody stands behind it
	resumed     func()        // is told of a CONT; nil: nothing has to be told
}

// errLeft says that a function was abandoned because its context had ended.
var errLeft = errors.New("did not come back")

// await returns what f returns, and hears signals until then. A signal that ends this process
// ends the context of f, and its tty.SignalError is the error. If f succeeds after that, its
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
	w.Signals.Catch([]os.Signal{tty.CONT}) // which cancels a TSTP
	done := make(chan outcome, 1)
	go func() {
		v, err := f(ctx)
		done <- outcome{v, err}
	}()
	var ended error
	var suspend, giveUp <-chan time.Time
	var following *suspending
	for {
		select {
		case o := <-done:
			following.wait()
			if w.take() { // the TSTP came too late for this: the next loop that hears signals follows it
				w.Signals.Requeue(tty.TSTP)
			}
			if o.err == nil {
				o.err = ended
			}
			return o.v, o.err
		case sig := <-w.Signals.Next():
			switch tty.ClassOf(sig, tty.Alone) {
			case tty.Resume:
				w.resume()
				if m.resumed != nil {
					m.resumed()
				}
			case tty.Suspend:
				if d := w.suspendIn(m); d > 0 {
					suspend = time.After(d)
				}
			case tty.Terminate:
				ended = tty.SignalError{Signal: sig}
				cancel(ended)
				w.resume() // a process that is to end is not suspended any more
				if m.afterSignal == 0 {
					following.cancel()
					return none, ended
				}
				if m.afterSignal > 0 && giveUp == nil {
					giveUp = time.After(m.afterSignal)
				}
			}
		case <-suspend:
			if !following.pending() {
				following = w.suspend()
			}
		case <-giveUp:
			following.cancel()
			return none, ended
		case <-over:
			following.cancel()
			return none, errLeft
		}
	}
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
