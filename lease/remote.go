package lease

import (
	"context"
	"errors"
	"net/url"
	"time"
)

// Dial is how a store is opened that others can reach when we cannot.
type Dial struct {
	URL *url.URL
	// Replicas is how many copies of the store must have a grant or a renewal
	// before it counts, where copies lag behind.
	Replicas int
	// Trouble is told that the store cannot be reached and is tried again, once
	// for each outage; nil: nobody is told.
	Trouble func(error)
}

// UnreachableError says that a store does not answer, or not as it should.
type UnreachableError struct {
	Store string // without passwords
	Err   error
}

func (e *UnreachableError) Error() string {
	return "cannot reach store " + e.Store + ": " + e.Err.Error()
}
func (e *UnreachableError) Unwrap() error { return e.Err }

const (
	firstPause = 20 * time.Millisecond
	mostPause  = 2 * time.Second
	// quietFor is how long an outage may last before anybody is told.
	quietFor = time.Second
)

// Persist calls f until it succeeds, ctx ends, or it fails otherwise than by an
// UnreachableError. It returns f's last error, or the cause of ctx's end. f must be safe to repeat when its answer was
// lost. trouble may be nil.
func Persist(ctx context.Context, trouble func(error), f func(context.Context) error) error {
	begun, told := time.Now(), trouble == nil
	for pause := firstPause; ; pause = min(2*pause, mostPause) {
		err := f(ctx)
		var out *UnreachableError
		if !errors.As(err, &out) {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !told && time.Since(begun) > quietFor {
			told = true
			trouble(err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}
