package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"berth/cmd/job"
	"berth/cmd/open"
	"berth/cmd/stopping"
	"berth/cmd/text"
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
	ids, unknown, err := findIDs(context.Background(), st, r.Choice)
	if err != nil {
		return err
	}
	all := len(r.Choice.Words) == 0 // of a pool, or with a label
	if len(ids) == 0 && all {
		say.notef("%s", r.Choice.None())
	}
	r.Stop.By = us()
	return stopAll(st, say, ids, unknown, all, r.Stop)
}

// us is how we sign what we tell others.
func us() string { return fmt.Sprintf("%s (pid %d)", text.Me(), os.Getpid()) }

func stopMessage(s lease.Stop) lease.Message { return lease.Message{Kind: lease.MessageStop, Stop: s} }

// stopAll stops all ids at the same time, because each may take its grace period. errs are the
// errors so far. With mayBeGone, an id may have ended since it was found.
func stopAll(st *open.Store, say *speaker, ids []string, errs []error, mayBeGone bool, stop lease.Stop) error {
	var asked []lease.Entry
	for _, id := range ids {
		if id == "" {
			say.notef("cannot stop a job whose record cannot be read")
			continue
		}
		ctx, cancel := telling(st)
		entry, err := st.Tell(ctx, id, stopMessage(stop))
		cancel()
		switch {
		case err == nil && entry.Lease != nil && entry.Lease.State == lease.Damaged:
			say.notef("told %s to stop, but cannot tell when it has ended: its record cannot be read; berth ls says how to remove it", id)
		case err == nil:
			asked = append(asked, entry)
		case mayBeGone && errors.Is(err, lease.ErrNotFound):
		default:
			errs = append(errs, err)
		}
	}
	errs = append(errs, stopping.Enforce(stoppingIn(st), asked, stop)...)
	if len(errs) > 0 {
		return several(errs)
	}
	return nil
}

func stoppingIn(st *open.Store) stopping.Store {
	return stopping.Store{Store: st, Remote: st.Remote, Where: st.Where, Self: st.Self, Mark: job.Mark}
}

// tellTime bounds telling a lease in a directory: a process that is frozen may hold the
// pool's lock. A store on a server says itself that it is out of reach.
const tellTime = 10 * time.Second

func telling(st *open.Store) (context.Context, context.CancelFunc) {
	return tellingUntil(context.Background(), st)
}

// tellingUntil is telling for what is given up at the end of ctx.
func tellingUntil(ctx context.Context, st *open.Store) (context.Context, context.CancelFunc) {
	if st.Remote {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, tellTime, fmt.Errorf("no answer in %v", tellTime))
}
