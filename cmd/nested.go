package cmd

import (
	"context"
	"fmt"
	"os"
	"slices"

	"berth/cmd/open"
	"berth/lease"
	"berth/lease/retry"
	"berth/limiter"
	"berth/procwatch"
)

// outer returns the lease of the job we run inside, if that job is of the same
// pool of the same store and still holds its slot. The innermost BERTH_LEASE may
// be of another pool, with a job of this pool around it.
func (r *runner) outer() (*lease.Lease, error) {
	if os.Getenv("BERTH_LEASE") == "" {
		return nil, nil
	}
	pool, err := r.first()
	if r.heldUp(err) {
		return nil, r.unlucky(&limiter.BusyError{Pool: r.spec.Request.Pool, Err: err})
	}
	if err != nil {
		return nil, err
	}
	l, err := around(r.store, pool)
	if l == nil || err != nil {
		return nil, err
	}
	return nest(r.spec.Request, r.spec.Nested, l, pool.Own.Limit)
}

// first reads the pool before anything else is done with it. Who waits for a slot waits
// for a server, too.
func (r *runner) first() (lease.Pool, error) {
	var pool lease.Pool
	read := func(ctx context.Context) (err error) {
		pool, err = r.store.Summary(ctx, r.spec.Request.Pool, lease.Ticket{})
		return err
	}
	ctx, cancel := context.Background(), context.CancelFunc(func() {})
	switch {
	case r.store.Remote && r.spec.Wait != 0:
		ctx, cancel = r.allowed(ctx)
	case !r.store.Remote && r.spec.Wait == 0:
		ctx, cancel = context.WithTimeout(ctx, firstTry)
	}
	defer cancel()
	if !r.store.Remote || r.spec.Wait == 0 {
		err := read(ctx)
		return pool, err
	}
	if err, _ := r.heedful(context.Background(), func() error { return retry.Do(ctx, r.say.trouble, read) }); err != nil {
		return lease.Pool{}, err
	}
	return pool, nil
}

// around returns the lease of the pool's job that we run inside, nil if there is none.
func around(st *open.Store, pool lease.Pool) (*lease.Lease, error) {
	above, err := procwatch.Ancestors()
	if err != nil {
		return nil, err
	}
	above = append(above, st.Self) // which was another command before, with --exec
	for _, h := range pool.Holders {
		if isAround(h.Lease, above) {
			return h.Lease, nil
		}
	}
	for _, h := range pool.Holders {
		// Berth and command were killed, and we have inherited the slot's lock: we
		// would wait for ourselves.
		if st.Inherits(h.Lease) {
			return h.Lease, nil
		}
	}
	return nil, nil
}

// isAround reports whether we run inside the job l. That is asked of processes, not of
// the environment alone, which a process can outlive, nor of the record alone, which
// may name any process: the command, or if we have lost it the berth, which takes the
// orphans, is above us, and something above us shows that it is of that job. Above what
// a shell put into the background before it became that berth is only the berth.
func isAround(l *lease.Lease, above []procwatch.ID) bool {
	for _, a := range above {
		p := lease.Process(a)
		notYet := l.Child == nil // recorded
		switch {
		case !notYet && p == *l.Child, p == l.Owner && notYet:
			return startedIn(l, above) || slices.ContainsFunc(above, func(a procwatch.ID) bool { return a.Marked(mark(l.ID)) })
		case p == l.Owner && startedIn(l, above):
			return true
		}
	}
	return false
}

// startedIn reports whether one of these was started with the lease in its
// environment. Ours may name a job of another pool inside that one.
func startedIn(l *lease.Lease, above []procwatch.ID) bool {
	return os.Getenv("BERTH_LEASE") == l.ID || slices.ContainsFunc(above, func(a procwatch.ID) bool { return a.StartedWith("BERTH_LEASE=" + l.ID) })
}

// nest decides what a request does inside the job outer of its own pool: it runs
// in that job's slot (which is returned), takes one of its own (nil), or neither.
func nest(r lease.Request, how string, outer *lease.Lease, own *int) (*lease.Lease, error) {
	most := lease.Smallest(own, outer.RequestedLimit, r.LimitIn(own))
	switch {
	case how == "take" && most > 0 && len(outer.Slots)+r.Weight > most:
		return nil, &nestedError{outer, fmt.Sprintf("and would wait for it: %d more is over the limit of %d", r.Weight, most), "--nested=reuse runs it in the slot of that job"}
	case how == "take":
		return nil, nil
	case how == "fail":
		return nil, &nestedError{outer, "and --nested=fail was given", "--nested=reuse runs it in the slot of that job"}
	case r.Weight > len(outer.Slots):
		return nil, &nestedError{outer, fmt.Sprintf("but has only %s, not --weight %d", plural(len(outer.Slots), "slot"), r.Weight), "--nested=take waits for slots of its own"}
	}
	return outer, nil
}

// nestedError says that this job is inside another one of its pool.
type nestedError struct {
	outer *lease.Lease
	why   string
	next  string
}

func (e *nestedError) Error() string {
	return fmt.Sprintf("this runs inside job %s, which holds slot %s of the same pool, %s", e.outer.ID, slotList(e.outer.Slots), e.why)
}

// inside runs the command in the slot of the job around it.
func (r *runner) inside(outer *lease.Lease) (int, error) {
	if r.spec.IdleTimeout > 0 {
		return 0, &nestedError{outer, "and 'berth keepalive' would reset its idle clock, not that of --idle-timeout here", "--nested=take waits for a slot of its own"}
	}
	r.say.verbosef("inside job %s: running in its slot %d", outer.ID, outer.Slots[0])
	return r.supervise(nil)
}
