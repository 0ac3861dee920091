package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"berth/cmd/open"
	"berth/cmd/stopping"
	"berth/cmd/words"
	"berth/lease"
)

func release(r words.Release) error {
	say := newSpeaker(false, false)
	st, err := open.Open(r.Store, say.opening(false))
	if err != nil {
		return err
	}
	st.HandleSuspend()
	ctx, cancel := telling(st)
	defer cancel()
	id, err := leaseNamed(ctx, st, r.Lease, r.Named)
	if err != nil {
		return err
	}
	e, err := st.Tell(ctx, id, lease.Message{Kind: lease.MessageRelease})
	switch {
	case errors.Is(err, lease.ErrNotFound):
		err := waits(ctx, st, id)
		if err == nil {
			say.notef("store %s has no lease %s: it is over, or in another store", st.Shown(), id)
		}
		return err
	case err != nil:
		return err
	case !e.Lease.Kept:
		return &notAcquiredError{e.Lease}
	}
	errs := stopping.GivenBack(stoppingIn(st), e.Lease, func(l *lease.Lease) {
		say.notef("the keeper of %s is gone; its slot is free once nothing runs that was started with that lease", l.ID)
	})
	if len(errs) > 0 {
		return several(errs)
	}
	return nil
}

// waits is an error if the id is that of a waiter, and nil for one that the store does not have.
func waits(ctx context.Context, st *open.Store, id string) error {
	pool, err := lease.PoolOf(id)
	if err != nil {
		return err
	}
	p, err := st.List(ctx, pool)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(p[0].Waiters, func(e lease.Entry) bool { return e.ID() == id }) {
		return words.Hinted(lease.WaitsError(id), "berth stop "+id)
	}
	return nil
}

// notAcquiredError says that a lease belongs to a job of 'berth run'.
type notAcquiredError struct{ lease *lease.Lease }

func (e *notAcquiredError) Error() string {
	return fmt.Sprintf("%s is a job of 'berth run', and frees its slot when it ends", e.lease.ID)
}
