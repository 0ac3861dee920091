package cmd

import (
	"context"

	"berth/cmd/job"
	"berth/cmd/open"
	"berth/cmd/text"
	"berth/cmd/words"
	"berth/lease"
)

// doubtError is what kept held from being certain. It is no "no", whatever it wraps.
type doubtError struct{ err error }

func (e *doubtError) Error() string { return e.err.Error() }
func (e *doubtError) Unwrap() error { return e.err }

// held exits with 1 only if it is certain. In doubt it fails, and a 'berth run' after it fails
// the same way.
func held(r words.Held) (int, error) {
	say := newSpeaker(false, r.Verbose)
	st, err := open.Open(r.Store, say.opening(false))
	if err != nil {
		return 0, &doubtError{err}
	}
	pool, err := st.HandleSuspend().Summary(context.Background(), r.Pool, lease.Ticket{})
	if err != nil {
		return 0, &doubtError{err}
	}
	switch l, err := job.Outer(pool, st.Self, st.Inherits); {
	case err != nil:
		return 0, &doubtError{err}
	case l != nil:
		say.verbosef("inside job %s, which holds slot %s of pool %s in store %s", l.ID, text.SlotList(l.Slots), r.Pool, st.Shown())
		return codeOK, nil
	}
	say.verbosef("not inside a job of pool %s in store %s (it has %s)", r.Pool, st.Shown(), text.Plural(len(pool.Holders), "job"))
	return codeNo, nil
}
