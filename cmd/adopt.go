package cmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"berth/lease"
	"berth/limiter"
)

// runAdopted runs the command in the slot of the lease that --lease names. Another command may
// run in that slot: it is not waited for.
func (r *runner) runAdopted(ctx context.Context) (int, error) {
	r.First().ID = r.spec.Lease
	r.catch()
	s, err := r.adopt(ctx)
	if err != nil {
		return 0, err
	}
	defer handedBack(s.Leases())
	r.First().Labels = s.Leases()[0].Labels
	return r.start(ctx, s)
}

func (r *runner) adopt(ctx context.Context) (limiter.Sessions, error) {
	h, err := r.store.Adopt(ctx, r.spec.Lease, lease.Process(r.store.Self))
	switch {
	case errors.Is(err, lease.ErrNotFound):
		return nil, &overError{r.spec.Lease}
	case err != nil:
		return nil, err
	}
	return limiter.Sessions{limiter.NewSession(h)}, nil
}

// endsOf is when the time limit of an acquired lease ends what runs under it.
func endsOf(leases []lease.Lease) (at time.Time, limited bool) {
	if len(leases) == 0 || !leases[0].Kept || leases[0].Timeout == 0 {
		return at, false
	}
	return leases[0].Since.Add(leases[0].Timeout), true
}

// overError says that an acquired lease is over, so nothing was started. It is lease.ErrLost.
type overError struct{ id string }

func (e *overError) Error() string {
	return fmt.Sprintf("%s is no lease any more: it was given back, has ended, or never existed", e.id)
}

func (*overError) Unwrap() error { return lease.ErrLost }

// handedBack has the keeper look at once whether it is to give the slot back.
func handedBack(leases []lease.Lease) {
	for _, l := range leases {
		rouse(l.Owner, l.ID)
	}
}
