package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"berth/cmd/job"
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
	return given(st, say, e)
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

const (
	// rouseFor is how long the keeper is roused while something runs under the lease: it may not
	// have listened at first.
	rouseFor = 2 * time.Second
	// keeperTime is how long the keeper may take beyond its heartbeats.
	keeperTime = 10 * time.Second
)

// given returns when the lease, which was told to be given back, is over, and all that were
// acquired together with it.
func given(st *open.Store, say *speaker, e lease.Entry) error {
	begun := time.Now()
	patient := begun // since when nothing but the keeper can be the reason
	for pause := time.Millisecond; ; pause = min(2*pause, time.Second) {
		l := e.Lease
		switch late := 3*l.Heartbeat + 2*l.TTL + keeperTime; {
		case l.State == lease.Orphaned && l.Adopter == nil:
			say.notef("the keeper of %s is gone; its slot is free once nothing runs that was started with that lease", l.ID)
			return nil
		case l.Adopter != nil:
			patient = time.Now()
		case time.Since(patient) > late:
			return fmt.Errorf("the keeper of %s (pid %d on %s) does not react", l.ID, l.Owner.PID, l.Owner.Host)
		}
		if l.Adopter == nil || time.Since(begun) < rouseFor {
			stopping.RouseBerth(l.Owner, job.Mark(l.ID))
		}
		time.Sleep(pause)
		left, err := leftOf(st, l)
		if left == nil || err != nil {
			return err
		}
		e = *left
	}
}

// leftOf is a lease that is not given back yet: that one, or one that was acquired together
// with it; nil: there is none.
func leftOf(st *open.Store, l *lease.Lease) (*lease.Entry, error) {
	ids := append([]string{l.ID}, l.Together...)
	var names []string
	for _, id := range ids {
		if pool, err := lease.PoolOf(id); err == nil && !slices.Contains(names, pool) {
			names = append(names, pool)
		}
	}
	pools, err := st.List(context.Background(), names...)
	if err != nil {
		return nil, err
	}
	for _, p := range pools {
		for _, h := range p.Holders {
			if slices.Contains(ids, h.ID()) {
				return &h, nil
			}
		}
	}
	return nil, nil
}
