package cmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"berth/cmd/job"
	"berth/cmd/stopping"
	"berth/cmd/words"
	"berth/lease"
	"berth/limiter"
	"berth/procwatch"
)

// runAdopted runs the command in the slot of the lease that --lease names. Another command may
// run in that slot: it is not waited for.
func (r *runner) runAdopted(ctx context.Context) (int, error) {
	id, err := one(ctx, r.store, r.spec.Lease)
	if err != nil { // its code would be taken for one of the command
		wrong := fmt.Errorf("--lease: %v", err)
		if errors.Is(err, lease.ErrNotFound) {
			return 0, words.Hinted(wrong, "berth ls; berth acquire prints the id: id=$(berth acquire) || exit")
		}
		return 0, wrong
	}
	r.spec.Lease, r.First().ID = id, id
	r.First().Pool, _ = lease.PoolOf(id)
	r.catch()
	s, err := r.adopt(ctx)
	if err != nil {
		return 0, err
	}
	defer handedBack(s.Leases())
	r.First().Labels = s.Leases()[0].Labels
	return r.start(ctx, s)
}

// adopt takes the lease, and those of the other pools that were acquired together with it: in
// that order, in which their keeper gives them back.
func (r *runner) adopt(ctx context.Context) (limiter.Sessions, error) {
	h, err := r.adoptOne(ctx, r.spec.Lease)
	if err != nil {
		return nil, err
	}
	all := limiter.Sessions{}.With(limiter.NewSession(h))
	together := h.Lease().Together
	if len(together) < 2 {
		return all, nil
	}
	if err := all.Unused(ctx); err != nil {
		return nil, err
	}
	all = nil
	for _, id := range together {
		_ = procwatch.Mark(job.Mark(id))
		h, err := r.adoptOne(ctx, id)
		if err != nil {
			return nil, errors.Join(err, all.Unused(context.WithoutCancel(ctx)))
		}
		s := limiter.NewSession(h)
		s.Keep() // the next one may have to wait for its server
		all = all.With(s)
	}
	return all, nil
}

// adoptOne does not take a lease for adopted whose adopter was killed and has left no child. On a
// server that adoption would last for its TTL, in a directory until the next heartbeat of the
// keeper, which finds out whether there is a child that was not recorded yet.
func (r *runner) adoptOne(ctx context.Context, id string) (lease.Holding, error) {
	for pause := time.Millisecond; ; pause *= 2 {
		h, err := r.store.Adopt(ctx, id, lease.Process(r.store.Self))
		var by *lease.AdoptedError
		switch {
		case errors.Is(err, lease.ErrNotFound):
			return nil, &overError{id, r.store.Shown()}
		case !errors.As(err, &by), pause > time.Second, !r.mayBeOver(by):
			return h, err
		case !r.store.Remote:
			r.rouseKeeper(ctx, id)
		case stopping.EndAdoption(ctx, stoppingIn(r.store), id, &by.Adopter, by.Child):
			continue // else the child is about to be killed, see --if-orphaned
		}
		time.Sleep(pause)
	}
}

// mayBeOver reports whether an adoption may end before its time because its adopter is gone: in a
// directory if that had recorded no child, on a server if it had.
func (r *runner) mayBeOver(by *lease.AdoptedError) bool {
	return procwatch.ID(by.Adopter).State() == procwatch.Gone && r.store.Remote == (by.Child != nil)
}

func (r *runner) rouseKeeper(ctx context.Context, id string) {
	pool, _ := lease.PoolOf(id)
	pools, err := r.store.List(ctx, pool)
	if err != nil {
		return
	}
	for _, e := range pools[0].Holders {
		if e.ID() == id {
			stopping.RouseBerth(e.Lease.Owner, job.Mark(id))
		}
	}
}

// ofLease is the time limit of an acquired lease, which begins when the slots of all its pools
// were had.
func (r *runner) ofLease(leases []lease.Lease) (l job.LeaseLimit) {
	if len(leases) == 0 || !leases[0].Kept || leases[0].Timeout == 0 {
		return l
	}
	now := time.Now()
	if r.store.Remote { // by whose clock the slots were had
		now = time.Unix(0, int64(r.store.Clock()))
	}
	had := leases[0].Since
	for _, other := range leases {
		if other.Since.After(had) {
			had = other.Since
		}
	}
	l.Timeout = leases[0].Timeout
	l.Left = had.Add(l.Timeout).Sub(now)
	return l
}

// overError says that an acquired lease is over, so nothing was started. It is lease.ErrLost.
type overError struct{ id, store string }

func (e *overError) Error() string {
	return fmt.Sprintf("%s is no lease any more: it was given back, has ended, or is not in store %s", e.id, e.store)
}

func (*overError) Unwrap() error { return lease.ErrLost }

// handedBack has the keeper look at once whether it is to give the slot back.
func handedBack(leases []lease.Lease) {
	for _, l := range leases {
		stopping.RouseBerth(l.Owner, job.Mark(l.ID))
	}
}
