package limiter

import (
	"context"
	"errors"

	"berth/lease"
)

// Sessions are the leases of one job, of a pool each, in the order in which the pools were
// named. None: the job has no slot. A single one costs nothing more than its Session.
//
// Like a Session they are for one goroutine at a time.
type Sessions []*Session

// With is ss and one more. From now on the events of all come from one channel, that of
// Events; the one of before is not used any more.
func (ss Sessions) With(s *Session) Sessions {
	ss = append(ss, s)
	if len(ss) > 1 {
		box := newOutbox(len(ss))
		for _, s := range ss {
			s.use(box)
		}
	}
	return ss
}

// Events are those of all sessions, see Session.Events; nil for none.
func (ss Sessions) Events() <-chan Event {
	if len(ss) == 0 {
		return nil
	}
	return ss[0].Events()
}

// Leases are the records of the leases.
func (ss Sessions) Leases() (all []lease.Lease) {
	for _, s := range ss {
		all = append(all, s.Lease())
	}
	return all
}

// Of is the session of the lease with this id, nil if there is none.
func (ss Sessions) Of(id string) *Session {
	for _, s := range ss {
		if s.id == id {
			return s
		}
	}
	return nil
}

// Expire reports whether one of the leases ends by a clock when it is not renewed.
func (ss Sessions) Expire() bool {
	for _, s := range ss {
		if s.Expires() {
			return true
		}
	}
	return false
}

// Ready is Session.Ready for all. The error is that of the first that is lost.
func (ss Sessions) Ready(ctx context.Context) error {
	for _, s := range ss {
		if err := s.Ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Bind is Session.Bind for all, each of which is renewed from then on.
func (ss Sessions) Bind(ctx context.Context, p lease.Process) error {
	return ss.each(func(s *Session) error { return s.Bind(ctx, p) })
}

// Renew is Session.Renew for all.
func (ss Sessions) Renew() {
	for _, s := range ss {
		s.Renew()
	}
}

// Suspend calls suspend once, with all leases renewed as Session.Suspend does it.
func (ss Sessions) Suspend(suspend func()) error {
	if len(ss) == 0 {
		suspend()
		return nil
	}
	var others error
	first := ss[0].Suspend(func() { others = ss[1:].Suspend(suspend) })
	return errors.Join(first, others)
}

// Unused is Session.Unused for all.
func (ss Sessions) Unused(ctx context.Context) error {
	return ss.each(func(s *Session) error { return s.Unused(ctx) })
}

// each calls f for all, whatever it returns.
func (ss Sessions) each(f func(*Session) error) (err error) {
	for _, s := range ss {
		err = errors.Join(err, f(s))
	}
	return err
}
