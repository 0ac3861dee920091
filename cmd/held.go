package cmd

import (
	"context"

	"berth/cmd/job"
	"berth/cmd/open"
	"berth/cmd/text"
	"berth/cmd/words"
	"berth/lease"
)

// held says no only when it is one: with any doubt there is an error, and who runs
// 'berth run' after that has the same one.
func held(r words.Held) (int, error) {
	say := newSpeaker(false, r.Verbose)
	st, err := open.Open(r.Store, say.opening(false))
	if err != nil {
		return codeFailed, err
	}
	pool, err := st.HandleSuspend().Summary(context.Background(), r.Pool, lease.Ticket{})
	if err != nil {
		return codeFailed, err
	}
	switch l, err := job.Outer(pool, st.Self, st.Inherits); {
	case err != nil:
		return codeFailed, err
	case l != nil:
		say.verbosef("inside job %s, which holds slot %s of pool %s in store %s", l.ID, text.SlotList(l.Slots), r.Pool, st.Shown())
		return codeOK, nil
	}
	say.verbosef("not inside a job of pool %s in store %s (it has %s)", r.Pool, st.Shown(), text.Plural(len(pool.Holders), "job"))
	return codeNo, nil
}
