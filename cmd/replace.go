package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"berth/cmd/gates"
	"berth/cmd/job"
	"berth/cmd/open"
	"berth/cmd/stopping"
	"berth/cmd/text"
	"berth/cmd/view"
	"berth/lease"
	"berth/limiter"
)

// replacer ends jobs to make room for a request (--on-busy replace).
type replacer struct {
	store   *open.Store
	say     *speaker
	request lease.Request
	asker   *gates.Asker // not the one of the wait, which is for one goroutine at a time
}

// endOne is wait.Waiter.Replace: it has one job end as berth stop does, and returns when that
// is gone.
func (r *replacer) endOne(ctx context.Context, v lease.Verdict) error {
	pools, err := r.store.List(ctx, r.request.Pool)
	if err != nil {
		return err
	}
	pool := pools[0]
	if lease.Decide(pool.State(0, r.store.Clock()), r.request, lease.Clearance{}).Reason != lease.Full {
		return nil // a job has just ended by itself
	}
	if err := r.onlyRoomIsMissing(ctx, pool.State(0, r.store.Clock()), v.Limit); err != nil {
		return err
	}
	around, err := job.Around(pool, r.store.Self, r.store.Inherits)
	if err != nil {
		return err
	}
	l := toReplace(&pool, r.request, around)
	if l == nil {
		for _, h := range pool.Holders {
			if h.Lease.State == lease.Damaged {
				return fmt.Errorf("no job was told to make room: the record of slot %s cannot be read", text.SlotList(h.Lease.Slots))
			}
		}
		return errors.New("no job was told to make room: this runs inside of those that can be told")
	}
	r.say.verbosef("telling job %s to end: %s", l.ID, view.Describe(l))
	return r.stop(l)
}

func (r *replacer) stop(l *lease.Lease) error {
	stop := lease.Stop{
		By:     us(),
		Reason: fmt.Sprintf("replaced by %s, %s", r.request.ID, text.Shorten(text.CommandLine(r.request.Command), 60)),
	}
	ctx, cancel := telling(r.store)
	defer cancel()
	told, err := r.store.Tell(ctx, l.ID, stopMessage(stop))
	switch {
	case errors.Is(err, lease.ErrNotFound): // it has ended by itself
		return nil
	case err != nil:
		return err
	}
	return errors.Join(stopping.Enforce(stoppingIn(r.store), []lease.Entry{told}, stop)...)
}

// onlyRoomIsMissing returns an error that says what else keeps the request from starting, which
// has found the pool full under that limit: to end a job for it would be in vain. The gates are
// asked, too. What they read includes the use of the jobs that would end.
func (r *replacer) onlyRoomIsMissing(ctx context.Context, s lease.PoolState, limit int) error {
	ctx, cancel := context.WithTimeout(ctx, lease.ClearanceTTL)
	defer cancel()
	s.Used, s.RequestedLimit = min(s.Used, max(0, limit-r.request.Weight)), 0
	for {
		s.Clock = r.store.Clock()
		v := lease.Decide(s, r.request, lease.Clearance{})
		var said limiter.GateState
		if v.Reason == lease.Gated {
			var err error
			if said, err = r.asker.Ask(ctx, v); err != nil {
				return err
			}
			v.Why = said.Why
		}
		switch {
		case v.Reason == lease.Ready, said.Open:
			return nil
		case !said.Undecided || ctx.Err() != nil:
			return fmt.Errorf("no job was told to make room: %v", v)
		}
		select {
		case <-ctx.Done():
		case <-time.After(said.Again):
		}
	}
}

// toReplace is the job that has to make room for q: the oldest one of the same name, else of
// the pool; nil: there is none. It is never one of around, which q is a part of, nor one that
// q itself holds, nor one whose record cannot be read: it cannot be told.
func toReplace(p *lease.Pool, q lease.Request, around []string) *lease.Lease {
	var oldest *lease.Lease
	for _, h := range p.Holders {
		l := h.Lease
		same := q.Job != "" && l.Job == q.Job
		switch {
		case l.State == lease.Damaged, slices.Contains(around, l.ID), slices.Contains(q.Together, l.ID), slices.Contains(q.Inside, l.ID):
			continue
		case oldest == nil, same && oldest.Job != q.Job, same == (q.Job != "" && oldest.Job == q.Job) && l.Token < oldest.Token:
			oldest = l
		}
	}
	return oldest
}
