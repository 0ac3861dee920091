package cmd

import (
	"context"
	"fmt"
	"slices"
	"time"

	"berth/cmd/open"
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
	var first lease.Pool
	until := wait.Until{Fewer: r.Fewer, Any: r.Any}
	w := wait.Watcher{
		Store: st, Pool: r.Pool, Until: until, AtMost: r.Wait, Trouble: say.trouble,
		Recovering: func(d time.Duration) {
			say.notef("pool %s: the store is new or was restarted, and jobs that it may have forgotten register again within %s", r.Pool, text.Duration(d))
		},
		Seen: func(p *lease.Pool) { first = *p },
	}
	if !r.Quiet {
		w.Progress = say.progress(func(p *lease.Pool, err error, waited time.Duration) fitting {
			return view.WatchingLine(p, err, r.Pool, until.String(), waited)
		})
	}
	if err := w.Wait(context.Background()); err != nil || !words.MayNotExist(first) {
		return err
	}
	if err := notALease(st, r.Pool); err != nil || r.Quiet {
		return err
	}
	_ = noteNone(st, say, r.Pool) // it may be a slip
	return nil
}

// notALease is an error if the name of a missing pool is a part of the id of a job: the job would
// be taken for over.
func notALease(st *open.Store, name string) error {
	pools, err := st.List(context.Background())
	if err != nil || slices.ContainsFunc(pools, func(p lease.Pool) bool { return p.Name == name }) {
		return nil
	}
	noPID := func(lease.Process, int) bool { return false } // a pool may well be called 4711
	ids, _, err := words.Choice{Words: []string{name}}.Among(pools, noPID)
	if len(ids) > 0 {
		pool, _ := lease.PoolOf(ids[0])
		err = words.Hinted(fmt.Errorf("%q is not a pool, but a part of the id %s", name, ids[0]),
			fmt.Sprintf("berth wait %s --any; berth wait %s for a job of berth run --detach", pool, ids[0]))
	}
	return err
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
