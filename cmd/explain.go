package cmd

import (
	"errors"
	"fmt"
	"strings"

	"berth/cmd/job"
	"berth/cmd/open"
	"berth/cmd/text"
	"berth/cmd/tty"
	"berth/cmd/view"
	"berth/cmd/wait"
	"berth/cmd/words"
	"berth/lease"
	"berth/limiter"
	"berth/procwatch"
)

// explain says what an error means and what to do next.
func (s *speaker) explain(err error) {
	var (
		usage   *words.UsageError
		busy    *wait.BusyError
		nested  *job.NestedError
		sig     tty.SignalError
		damaged *lease.DamagedError
		held    *lease.LockHeldError
		remote  *open.NoRemoteError
		parent  *open.NoParentError
		name    *open.NameError
		out     *lease.UnreachableError
		refused *lease.RefusedError
		foreign *lease.ForeignStoreError
		hinted  *words.HintedError
		other   *strangerError
		noProc  *procwatch.NoProcError
		none    words.Nowhere
		heavy   *limiter.TooHeavyError
	)
	switch {
	case errors.As(err, &sig): // whoever sent it knows
	case errors.As(err, &remote):
		s.errorf("%v", err)
		s.hintf("go build -o %s ./cmd/berth-remote, where berth was built", open.RemoteProgram)
	case errors.As(err, &parent):
		s.errorf("%v", err)
		s.hintf("mkdir -p %s if %s is right", text.Quoted([]string{parent.Dir})[0], parent.From)
	case errors.As(err, &name):
		s.errorf("%v", err)
		s.hintf("%s", nameHint(name))
	case errors.As(err, &out):
		s.errorf("%v", err)
		s.advise(outageHint(out))
	case errors.As(err, &refused):
		s.errorf("%v", err)
		s.advise(refused.Hint)
	case errors.As(err, &usage):
		s.errorf("%v", err)
		next := usage.Cmd + " --help"
		if errors.As(usage.Err, &hinted) {
			next = hinted.Next
		}
		s.hintf("%s", next)
	case errors.As(err, &hinted):
		s.errorf("%v", err)
		s.hintf("%s", hinted.Next)
	case errors.As(err, &noProc):
		s.errorf("%v", err)
		s.hintf("mount -t proc proc /proc, or before a chroot: mount --bind /proc DIR/proc")
	case errors.As(err, &busy):
		s.errorf("%s", busyText(busy))
		s.hintf("%s", busyHint(busy))
	case errors.As(err, &nested):
		s.errorf("%v", err)
		s.hintf("%s", nestedHint(nested))
	case errors.As(err, &other):
		s.errorf("%v", err)
		s.hintf("%s", other.hint())
	case errors.As(err, &damaged):
		s.errorf("%v; it counts as taken, because its job may still run", err)
		s.hintf("if no job of pool %s runs any more: rm %s", damaged.Pool, text.Quoted([]string{damaged.Path})[0])
	case errors.As(err, &foreign) && foreign.Default:
		s.errorf("%v", err)
		s.hintf("as root: rm -r '%s'; and 'd %s 0700 %s - -' in /etc/tmpfiles.d/berth.conf makes it at every boot", foreign.Dir, foreign.Dir, foreign.Me)
	case errors.As(err, &foreign):
		s.errorf("%v", err)
		s.hintf("if that is the store you mean: --store-owner %s, or BERTH_STORE_OWNER=%s", foreign.Owner, foreign.Owner)
	case errors.As(err, &held):
		s.errorf("%v", err)
		s.hintf("%s", heldHint(held))
	case errors.As(err, &none):
		s.errorf("%v", err)
	case errors.Is(err, lease.ErrNotFound):
		s.errorf("%v (never was, or is over)", err)
		s.hintf("berth ls")
	case errors.As(err, &heavy):
		s.errorf("%v", err)
		s.hintf("%s", heavyHint(heavy))
	case storeHint(err) != "":
		s.errorf("%v", err)
		s.hintf("%s", storeHint(err))
	default:
		s.errorf("%v", err)
	}
}

// busyText says why no slot could be had, and what can be seen of the pool.
func busyText(err error) string {
	var busy *limiter.BusyError
	var seen *wait.BusyError
	msg := err.Error()
	if !errors.As(err, &seen) || seen.State == nil || !errors.As(err, &busy) {
		return msg
	}
	state, reason := seen.State, busy.Verdict.Reason
	switch drained := view.Drained(state.Own); {
	case reason == lease.Gated, reason == lease.Recovering:
		return msg
	case drained != "" && reason == lease.Drained:
		return msg + drained
	case drained != "":
		return msg + "; the pool's own limit is 0" + drained
	case reason == lease.Behind && view.WhyOfHead(state, seen.Now) != "":
		return msg + "; the first waits for " + view.WhyOfHead(state, seen.Now)
	}
	if h := view.Longest(state); h != nil {
		msg += ", longest by " + view.Describe(h.Lease) + view.StalledNotes(state, h)[0]
	}
	return msg
}

func busyHint(e *wait.BusyError) string {
	var busy *limiter.BusyError
	var held *lease.LockHeldError
	switch {
	case errors.As(e.Err, &held):
		return heldHint(held)
	case errors.As(e.Err, &busy) && busy.Verdict.Reason == lease.Recovering:
		return "it passes by itself; --wait 1m waits for it"
	case busy != nil && busy.Verdict.Reason == lease.Gated:
		return strings.Join(text.Quoted(append([]string{"berth", "probe", "-p", e.Request.Pool}, words.Flags(e.Request.Conditions)...)), " ")
	case busy != nil && busy.Kept:
		return "the place in the line is kept for the same --ticket"
	default:
		return fmt.Sprintf("berth ls %s", e.Request.Pool)
	}
}

func nestedHint(e *job.NestedError) string {
	if e.How == "reuse" {
		return "--nested=take waits for slots of its own"
	}
	return "--nested=reuse runs it in the slot of that job"
}
