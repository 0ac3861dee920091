package cmd

import (
	"context"
	"fmt"
	"time"

	"berth/cmd/text"
	"berth/cmd/view"
	"berth/cmd/wait"
	"berth/cmd/words"
	"berth/lease"
)

// waitFor waits for a condition of a pool. It has nothing to give back, so a signal does what
// it does to any process, and only Ctrl-Z is caught.
func waitFor(r words.Wait) error {
	say := newSpeaker(r.Quiet, false)
	st, err := openPatiently(context.Background(), r.Store, say, false, r.Wait)
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

// notYetText says what keeps a pool from being as it was waited for.
func notYetText(e *wait.NotYetError) string {
	msg := e.Error()
	if h := view.Longest(e.Last); h != nil {
		stalled, _ := view.StalledNotes(e.Last, h)
		msg += fmt.Sprintf(", held longest by %s%s", view.Describe(h.Lease), stalled)
	}
	return msg
}
