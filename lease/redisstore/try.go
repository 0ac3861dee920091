package redisstore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"

	"berth/lease"
	"berth/lease/retry"
)

// TryAcquire implements lease.Store.
func (s *Store) TryAcquire(ctx context.Context, r lease.Request) (lease.Holding, lease.Verdict, error) {
	if err := lease.CheckPool(r.Pool); err != nil {
		return nil, lease.Verdict{}, err
	}
	r.TTL = cmp.Or(r.TTL, lease.DefaultTTL)
	text, err := json.Marshal(r)
	if err != nil {
		return nil, lease.Verdict{}, err
	}
	a, sent, err := s.confirm(ctx, r.Pool, "try", r.TTL, r.ID, string(text))
	if err != nil {
		s.undo(ctx, r)
		return nil, lease.Verdict{}, retry.Cause(ctx, err)
	}
	v := s.verdict(a, r, lease.Clearance{})
	if a.text(atGrant) != "" {
		h, err := s.holding(r, v.Own, a, sent, false)
		return h, v, err
	}
	return nil, v, nil
}

// undo gives back what a try may have taken whose answer was lost. The caller may put the same
// request into the line next: what it gets there is not given back. If ctx was cancelled, the
// server remembers that the request has ended, because the try may still arrive. After a
// deadline it need not: a try that arrives then is not done.
func (s *Store) undo(ctx context.Context, r lease.Request) {
	gone := flag(cancelled(ctx))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timings.Undo)
	defer cancel()
	_, _, _ = s.call(ctx, r.Pool, "undo", r.TTL, r.ID, gone)
}

// cancelled reports whether ctx ended otherwise than by its deadline.
func cancelled(ctx context.Context) bool {
	return ctx.Err() != nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded)
}

// flag is a bool in the form that the script reads.
func flag(on bool) string {
	if on {
		return "1"
	}
	return ""
}
