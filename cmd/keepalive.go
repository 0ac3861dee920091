package cmd

import (
	"berth/cmd/open"
	"berth/cmd/words"
)

func keepalive(r words.Keepalive) error {
	st, err := open.Open(r.Store, newSpeaker(false, false).opening(false))
	if err != nil {
		return err
	}
	st.HandleSuspend()
	ctx, cancel := telling(st)
	defer cancel()
	id, err := leaseNamed(ctx, st, r.Lease, r.Named)
	if err != nil {
		return err
	}
	_, err = st.Tell(ctx, id, r.Message())
	return err
}
