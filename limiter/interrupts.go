package limiter

import (
	"context"
	"sync"

	"berth/lease"
)

// Interrupts are what other goroutines want done with a waiter's place while it waits. The
// zero value is ready for use.
type Interrupts struct {
	mu     sync.Mutex
	todo   []func(context.Context, lease.Place) error
	cancel context.CancelFunc // ends what the waiter does now; nil: it does nothing that can be ended
	pause  func()             // called before anything is done; may be nil
}

// Do has the waiter run f between two tries, and then try again. A place is for one
// goroutine at a time, so f runs on the waiter's. Its error ends the wait. f never runs
// when the wait ends before that.
func (i *Interrupts) Do(f func(context.Context, lease.Place) error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.todo = append(i.todo, f)
	if i.cancel != nil {
		i.cancel()
	}
}

// during calls f, ends it when there is something to do, and then does that. interrupted
// says that there was something to do, or that ctx has ended.
func (i *Interrupts) during(ctx context.Context, p lease.Place, f func(context.Context) error) (interrupted bool, err error) {
	fctx, cancel := context.WithCancel(ctx)
	defer cancel()
	i.mu.Lock()
	i.cancel = cancel
	if len(i.todo) > 0 {
		cancel()
	}
	i.mu.Unlock()
	err = f(fctx)
	i.mu.Lock()
	todo := i.todo
	i.todo, i.cancel = nil, nil
	i.mu.Unlock()
	if len(todo) > 0 && i.pause != nil {
		i.pause()
	}
	for _, f := range todo {
		if err := f(ctx, p); err != nil {
			return true, err
		}
	}
	switch {
	case ctx.Err() != nil: // perhaps while f ran, whose own error says less
		return true, context.Cause(ctx)
	case len(todo) > 0 && fctx.Err() != nil:
		return true, nil // what ended it was ours
	}
	return len(todo) > 0, err
}

// wait is p.Wait, until the context until ends.
func (i *Interrupts) wait(ctx context.Context, p lease.Place, until context.Context) (interrupted bool, err error) {
	return i.during(ctx, p, func(ctx context.Context) error {
		short, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(until, cancel)()
		if err := p.Wait(short); err != nil && (short.Err() == nil || ctx.Err() != nil) {
			return err
		}
		return nil
	})
}
