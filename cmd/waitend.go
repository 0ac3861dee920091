package cmd

import (
	"errors"
	"fmt"
	"time"

	"berth/cmd/detached"
	"berth/cmd/open"
	"berth/cmd/storename"
	"berth/cmd/text"
	"berth/cmd/tty"
	"berth/cmd/words"
	"berth/lease"
)

// waitForEnd waits for the end of a detached job, and returns its exit code. Its result is a
// file of this machine, so no store is opened: the job may have waited for one on a server. A
// signal does what it does to any process.
func waitForEnd(r words.Wait) (int, error) {
	tty.DieOfQuit()
	say := newSpeaker(r.Quiet, false)
	stores := []string{open.DefaultDir()}
	if where := r.Store.Where; where != "" && !storename.IsURL(where) {
		stores = []string{where, open.DefaultDir()}
	}
	type outcome struct {
		detached.Result
		err error
	}
	ended := make(chan outcome, 1)
	go func() {
		result, err := detached.Wait(r.Lease, r.Wait == 0, stores...)
		ended <- outcome{result, err}
	}()
	var o outcome
	select {
	case o = <-ended:
	case <-after(r.Wait):
		return 0, &stillRunsError{r}
	}
	pool, _ := lease.PoolOf(r.Lease)
	switch {
	case errors.Is(o.err, detached.ErrRuns):
		return 0, &stillRunsError{r}
	case errors.As(o.err, new(*detached.UnknownError)):
		return 0, words.Hinted(o.err, "berth wait "+pool+" --any, for the next job of that pool to end")
	case errors.Is(o.err, detached.ErrKilled):
		return 0, words.Hinted(fmt.Errorf("how %s ended is not known: %w", r.Lease, o.err), "berth ls "+pool+" shows whether its command still runs")
	case o.err != nil:
		return 0, o.err
	case o.Reason != "":
		say.notef("%s: %s", r.Lease, o.Reason)
	}
	return o.Code, nil
}

// after is a moment after so much time; 0 or negative: never.
func after(d time.Duration) <-chan time.Time {
	if d <= 0 {
		return nil
	}
	return time.After(d)
}

// stillRunsError says that a detached job has not ended in the time allowed.
type stillRunsError struct{ words.Wait }

func (e *stillRunsError) Error() string {
	if e.Wait.Wait == 0 {
		return e.Lease + " has not ended"
	}
	return fmt.Sprintf("%s has not ended within %s", e.Lease, text.Duration(e.Wait.Wait))
}
