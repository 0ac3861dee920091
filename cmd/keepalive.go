package cmd

import (
	"fmt"

	"berth/cmd/open"
	"berth/cmd/words"
	"berth/lease"
)

func keepalive(r words.Keepalive) error {
	st, err := open.Open(r.Store, newSpeaker(false, false).opening(false))
	if err != nil {
		return err
	}
	st.HandleSuspend()
	ctx, cancel := telling(st)
	defer cancel()
	id := r.Lease
	switch {
	case r.Named:
		id, err = one(ctx, st, id)
	case !words.IsID(id):
		err = fmt.Errorf("BERTH_LEASE: %q is not a lease id: %w", id, lease.ErrNotFound)
	}
	if err != nil {
		return err
	}
	_, err = st.Tell(ctx, id, r.Message())
	return err
}
