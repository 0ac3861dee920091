package retry

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"berth/lease"
)

func TestDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, other := &lease.UnreachableError{Store: "s", Err: errors.New("no")}, errors.New("other")
		told := 0
		trouble := func(error) { told++ }
		var errs []error
		f := func(context.Context) error {
			if len(errs) == 0 {
				return out
			}
			err := errs[0]
			errs = errs[1:]
			return err
		}
		errs = []error{out, out, nil}
		if err := Do(t.Context(), trouble, f); err != nil || told != 0 {
			t.Errorf("%v, told %d times; want an end, and silence: it did not last", err, told)
		}
		errs = append(slices.Repeat([]error{out}, 20), other)
		if err := Do(t.Context(), trouble, f); err != other || told != 1 {
			t.Errorf("%v, told %d times; want the other error, once told", err, told)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := Do(ctx, nil, f); err != out {
			t.Errorf("%v, want why nothing came of it", err)
		}
		tries, cut := 0, &lease.UnreachableError{Store: "s", Err: context.DeadlineExceeded}
		short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		late := func(ctx context.Context) error {
			if tries++; tries < 3 {
				return out
			}
			<-ctx.Done()
			return cut
		}
		if err := Do(short, nil, late); err != out {
			t.Errorf("%v, want why nothing came of it, and not that the time was over", err)
		}
		tries = 3
		if err := Do(short, nil, late); err != cut {
			t.Errorf("%v, want the only error that there was", err)
		}
		cause := errors.New("a signal")
		cancelled, end := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { end(cause) })
		if err := Do(cancelled, nil, f); err != cause {
			t.Errorf("%v, want the cause", err)
		}
	})
}
