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
	if !words.IsID(r.Lease) {
		err := words.NotFoundError(fmt.Sprintf("%q is not a lease id, like db/0123456789ab", r.Lease))
		return words.Hinted(err, "berth ls")
	}
	say := newSpeaker(false, false)
	st, err := open.Open(r.Store, say.opening(false))
	if err != nil {
		return err
	}
	st.HandleSuspend()
	ctx, cancel := telling(st)
	defer cancel()
	e, err := st.Tell(ctx, r.Lease, lease.Message{Kind: lease.MessageRelease})
	switch {
	case errors.Is(err, lease.ErrNotFound):
		return waits(ctx, st, r.Lease)
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
		return words.Hinted(fmt.Errorf("%s is still waiting: %w", id, lease.ErrNotFound), "berth stop "+id)
	}
	return nil
}

// notAcquiredError says that a lease belongs to a job of 'berth run'.
type notAcquiredError struct{ lease *lease.Lease }

func (e *notAcquiredError) Error() string {
	return fmt.Sprintf("%s is a job of 'berth run', and frees its slot when it ends", e.lease.ID)
}
