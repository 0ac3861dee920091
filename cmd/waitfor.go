package cmd

import (
	"context"
	"fmt"
	"time"

	"berth/cmd/open"
	"berth/cmd/text"
	"berth/cmd/view"
	"berth/cmd/wait"
	"berth/cmd/words"
	"berth/lease"
	"berth/lease/retry"
)

// waitFor waits for a condition of a pool. It has nothing to give back, so a signal does what
// it does to any process, and only Ctrl-Z is caught.
func waitFor(r words.Wait) error {
	say := newSpeaker(r.Quiet, false)
	st, err := openPatiently(r, say)
	if err != nil {
		return err
	}
	st.HandleSuspend()
	until := wait.Until{Fewer: r.Fewer, Any: r.Any}
	w := wait.Watcher{
		Store: st, Pool: r.Pool, Until: until, AtMost: r.Wait, Trouble: say.trouble,
		Recovering: func(d time.Duration) {
			say.notef("pool %s: the store is new or was restarted, and jobs that it may have forgotten register again within %s", r.Pool, text.Duration(d))
		},
		Seen: func(p *lease.Pool) {
			if words.MayNotExist(*p) && !r.Quiet {
				say.out.later(func() { _ = noteNone(st, say, r.Pool) }) // it may be a slip
			}
		},
	}
	if !r.Quiet {
		w.Progress = say.progress(func(p *lease.Pool, err error, waited time.Duration) fitting {
			return view.WatchingLine(p, err, r.Pool, until.String(), waited)
		})
	}
	return w.Wait(context.Background())
}

// openPatiently waits for a server, as the look at the pool does.
func openPatiently(r words.Wait, say *speaker) (st *open.Store, err error) {
	try := func(context.Context) (err error) {
		st, err = open.Open(r.Store, say.opening(false))
		return err
	}
	ctx := context.Background()
	switch {
	case r.Wait == 0:
		return st, try(ctx)
	case r.Wait > 0:
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.Wait)
		defer cancel()
	}
	err = retry.Do(ctx, say.trouble, try)
	return st, err
}

// notYetText says what keeps a pool from being as it was waited for.
func notYetText(e *wait.NotYetError) string {
	msg := e.Error()
	if h := view.Longest(e.Last); h != nil {
		stalled, _ := view.StalledNotes(e.Last, h)
		msg += fmt.Sprintf(", held longest by %s%s", view.Describe(h.Lease), stalled)
	}
	return msg
}
