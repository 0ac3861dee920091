package wait

import (
	"context"
	"errors"
	"sync"
	"time"

	"berth/cmd/tty"
)

// manner is how await waits for a function. The zero value is for one that may never return:
// it is abandoned when a signal ends this process, or when its context ends.
type manner struct {
	returns     bool          // it returns soon after the end of its context, and is waited for
	afterSignal time.Duration // how long it may take to return after a signal; negative: as long as it takes
	aside       func()        // lets others pass before this process is suspended; nil: nobody stands behind it
	resumed     func()        // is told of a CONT; nil: nothing has to be told
}

// errLeft says that a function was abandoned because its context had ended.
var errLeft = errors.New("did not come back")

// await returns what f returns, and hears signals until then. A signal that ends this process
// ends the context of f, and its tty.SignalError is the error. If f succeeds after that, its
// value is returned together with the error.
func await[T any](ctx context.Context, w *Waiter, m manner, f func(context.Context) (T, error)) (none T, err error) {
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
	done := make(chan outcome, 1)
	go func() {
		v, err := f(ctx)
		done <- outcome{v, err}
	}()
	var ended error
	var suspend, gone <-chan time.Time
	for {
		select {
		case o := <-done:
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
				if after := w.request(m); after > 0 {
					suspend = time.After(after)
				}
			case tty.Terminate:
				ended = tty.SignalError{Signal: sig}
				cancel(ended)
				if m.afterSignal == 0 {
					return none, ended
				}
				if m.afterSignal > 0 && gone == nil {
					gone = time.After(m.afterSignal)
				}
			}
		case <-suspend:
			if w.take() {
				w.Suspend()
			}
		case <-gone:
			return none, ended
		case <-over:
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

// request is told of a TSTP, and returns after how much time await is to suspend this
// process; 0: not at all.
//
// When others stand behind it, this process is suspended once they can pass. But a call to a
// server may take as long as an outage. It holds up nobody, so this process is suspended
// within it: the server takes it for frozen, and it has its place again when it goes on. In a
// directory the call may hold the pool's lock.
func (w *Waiter) request(m manner) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.suspension.Requested() || !w.suspension.Request(time.Now(), tty.Foreground()) {
		return 0
	}
	if m.aside == nil {
		return tty.ContGrace
	}
	m.aside()
	if w.Remote {
		return suspendWithin
	}
	return 0
}

// listener holds what Ctrl-Z and fg have requested. The goroutine that stands in the line
// reads it, too.
type listener struct {
	mu         sync.Mutex
	suspension tty.Suspension
}

func (l *listener) resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.suspension.Resume(time.Now())
}

func (l *listener) requested() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.suspension.Requested()
}

func (l *listener) take() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.suspension.Take()
}
