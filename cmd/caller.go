package cmd

import (
	"context"
	"errors"
	"os"

	"berth/lease"
	"berth/procwatch"
)

// callerGone is why a job of --with-parent, or its wait, ends.
var callerGone = lease.Stop{Reason: "the process that called berth is gone"}

// withParent has ctx end when the process that called berth is gone (--with-parent). A job that
// runs then is told to end by r.stop.
func (r *runner) withParent(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if !r.spec.WithParent {
		return ctx, func() {}, nil
	}
	caller, err := procwatch.Caller()
	var gone <-chan struct{}
	if err == nil {
		gone, err = caller.Gone()
	}
	switch {
	case errors.Is(err, procwatch.ErrCallerGone), errors.Is(err, os.ErrProcessDone):
		return ctx, nil, &lease.StoppedError{Stop: callerGone}
	case err != nil:
		return ctx, nil, &noCallerError{err}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := make(chan lease.Stop, 1)
	r.stop = stop
	whenGone(ctx, gone, func() {
		stop <- callerGone
		cancel(&lease.StoppedError{Stop: callerGone})
	})
	return ctx, func() { cancel(nil) }, nil
}

// whenGone calls f once the process is gone that gone tells of (nil: none), unless ctx ends
// before.
func whenGone(ctx context.Context, gone <-chan struct{}, f func()) {
	if gone == nil {
		return
	}
	go func() {
		select {
		case <-gone:
			f()
		case <-ctx.Done():
		}
	}()
}

// ofCaller is err, unless the caller is gone, which then is the reason for it.
func (r *runner) ofCaller(ctx context.Context, err error) error {
	var stopped *lease.StoppedError
	if err != nil && r.stop != nil && errors.As(context.Cause(ctx), &stopped) {
		return stopped
	}
	return err
}

// noCallerError says that --with-parent cannot be kept.
type noCallerError struct{ why error }

func (e *noCallerError) Error() string { return "--with-parent: " + e.why.Error() }
func (e *noCallerError) Unwrap() error { return e.why }
