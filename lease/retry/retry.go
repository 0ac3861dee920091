// Package retry repeats, with back-off, what fails because a store cannot be reached.
package retry

import (
	"context"
	"errors"
	"time"

	"berth/lease"
)

const (
	firstPause = 20 * time.Millisecond
	mostPause  = 2 * time.Second
	// quietFor is how long an outage lasts before trouble is called.
	quietFor = time.Second
)

// Do calls f until it succeeds or fails otherwise than with lease.UnreachableError, or
// ctx ends. It returns f's last error, or the cause if ctx was cancelled. When the deadline
// of ctx cuts an attempt short, Do returns the error of the attempt before it, which says
// more, if there was one. f must be safe to repeat when its answer was lost. trouble is
// called once when this goes on for more than a second; it may be nil.
func Do(ctx context.Context, trouble func(error), f func(context.Context) error) error {
	begun, told := time.Now(), trouble == nil
	var last error // of an attempt that was not cut short
	for pause := firstPause; ; pause = min(2*pause, mostPause) {
		err := f(ctx)
		var out *lease.UnreachableError
		if !errors.As(err, &out) {
			return err
		}
		if ctx.Err() != nil && last != nil {
			err = last
		}
		if ctx.Err() != nil {
			return Cause(ctx, err)
		}
		last = err
		if !told && time.Since(begun) > quietFor {
			told = true
			trouble(err)
		}
		select {
		case <-ctx.Done():
			return Cause(ctx, err)
		case <-time.After(pause):
		}
	}
}

// Cause returns what cancelled ctx, or err if ctx has not ended or ran out of time: err says
// more then.
func Cause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return err
}
