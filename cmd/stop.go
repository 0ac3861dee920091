package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"

	"berth/cmd/open"
	"berth/cmd/view"
	"berth/cmd/words"
	"berth/lease"
)

func stop(r words.Stop) error {
	say := newSpeaker(false, false)
	st, err := open.Open(r.Store, say.opening(false))
	if err != nil {
		return err
	}
	st.HandleSuspend()
	ids, unknown, err := ids(st, context.Background(), r.Choice)
	if err != nil {
		return err
	}
	all := len(r.Choice.Words) == 0 // of a pool, or with a label
	if len(ids) == 0 && all {
		say.notef("%s", r.Choice.None())
	}
	r.Stop.By = fmt.Sprintf("%s (pid %d)", view.Me(), os.Getpid())
	return stopAll(st, say, ids, unknown, all, r.Stop)
}

func stopMessage(s lease.Stop) lease.Message { return lease.Message{Kind: lease.MessageStop, Stop: s} }

// stopAll stops these, all at the same time, for each may take its grace; errs is what
// went wrong before. With gone, one may have ended meanwhile.
func stopAll(st *open.Store, say *speaker, ids []string, errs []error, gone bool, stop lease.Stop) error {
	var asked []lease.Entry
	for _, id := range ids {
		if id == "" {
			say.notef("cannot stop a job whose record cannot be read")
			continue
		}
		ctx, cancel := asking(st)
		entry, err := st.Tell(ctx, id, stopMessage(stop))
		cancel()
		switch {
		case err == nil && entry.Lease != nil && entry.Lease.State == lease.Damaged:
			say.notef("%s is asked to end, and not waited for: its record cannot be read (berth ls says how to remove it)", id)
		case err == nil:
			asked = append(asked, entry)
		case gone && errors.Is(err, lease.ErrNotFound):
		default:
			errs = append(errs, err)
		}
	}
	errs = append(errs, enforce(st, asked, stop)...)
	if len(errs) > 0 {
		return several(errs)
	}
	return nil
}
