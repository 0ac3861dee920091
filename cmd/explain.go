package cmd

import (
	"errors"
	"fmt"
	"strings"

	"berth/cmd/job"
	"berth/cmd/open"
	"berth/cmd/stopping"
	"berth/cmd/text"
	"berth/cmd/tokenfile"
	"berth/cmd/tty"
	"berth/cmd/view"
	"berth/cmd/wait"
	"berth/cmd/words"
	"berth/lease"
	"berth/limiter"
	"berth/limiter/gate"
	"berth/procwatch"
)

// explain says what an error means and what to do next.
func (s *speaker) explain(err error) {
	if errors.As(err, new(tty.SignalError)) {
		return // its sender knows
	}
	s.errorf("%s", factOf(err))
	s.advise(hintTo(err))
}

func factOf(err error) string {
	var busy *wait.BusyError
	var notYet *wait.NotYetError
	switch {
	case errors.As(err, &busy):
		return busyText(busy)
	case errors.As(err, &notYet):
		return notYetText(notYet)
	case errors.As(err, new(*lease.DamagedError)):
		return fmt.Sprintf("%v; the slot is treated as taken, because its job may still run", err)
	case errors.Is(err, lease.ErrNotFound) && !errors.As(err, new(words.NotFoundError)):
		return fmt.Sprintf("%v (it never existed or is over)", err)
	}
	return err.Error()
}

// hintTo is the hint of the first entry of the table that is about err; "" for none.
func hintTo(err error) string {
	for _, entry := range hints {
		if hint, is := entry(err); is {
			return hint
		}
	}
	return storeHint(err)
}

// about is an entry for errors of one type.
func about[E error](hint func(E) string) func(error) (string, bool) {
	return func(err error) (string, bool) {
		var e E
		if !errors.As(err, &e) {
			return "", false
		}
		return hint(e), true
	}
}

// hints are what to do about errors. An error may wrap several of these: the first counts.
var hints = []func(error) (string, bool){
	about(func(*open.NoRemoteError) string {
		return fmt.Sprintf("go build -o %s ./cmd/berth-remote, where berth was built", open.RemoteProgram)
	}),
	about(func(e *open.NoParentError) string {
		return fmt.Sprintf("mkdir -p %s if %s is right", text.Quoted([]string{e.Dir})[0], e.From)
	}),
	about(func(e *open.NoMachineStoreError) string {
		return fmt.Sprintf("as root: install -d -o root -g users -m 2770 %s, with a group that all of its users are in", text.Quoted([]string{e.Dir})[0])
	}),
	about(nameHint),
	about(outageHint),
	about(func(e *lease.RefusedError) string { return e.Hint }),
	about(usageHint),
	about(func(e *words.HintedError) string { return e.Next }),
	about(func(*procwatch.NoProcError) string {
		return "mount -t proc proc /proc, or before a chroot: mount --bind /proc DIR/proc"
	}),
	about(busyHint),
	about(func(e *wait.NotYetError) string { return "berth ls " + e.Pool }),
	about(func(e *lease.AdoptedError) string { return "berth ls; one command at a time runs under a lease" }),
	about(func(e *notAcquiredError) string { return "berth stop " + e.lease.ID }),
	about(func(*noParentError) string { return "berth acquire --with $$ ties it to this shell" }),
	about(func(e *overError) string {
		return "if it was taken in a pipe or a subshell: id=$(berth acquire --with $$) keeps it while this shell lives"
	}),
	func(err error) (string, bool) {
		return "berth run without --lease; --lease takes what 'berth acquire' has printed", errors.Is(err, lease.ErrNotKept)
	},
	about(nestedHint),
	about(strangerHint),
	about(func(e *stopping.FrozenError) string {
		return fmt.Sprintf("as %s or root: kill -CONT %d; it then ends, as it was told", text.UserName(e.Lease.UID), e.Lease.Owner.PID)
	}),
	about(func(*tokenfile.UnusableError) string {
		return "FILE must be a regular file that every job can write; it is created if it is missing"
	}),
	about(func(e *tokenfile.OtherError) string {
		return "name another FILE, or, when no job writes to what it protects: rm " + text.Quoted([]string{e.File})[0]
	}),
	about(func(e *lease.DamagedError) string {
		return fmt.Sprintf("if no job of pool %s runs any more: rm %s", e.Pool, text.Quoted([]string{e.Path})[0])
	}),
	about(foreignHint),
	about(heldHint),
	about(func(e *words.PoolNamedError) string { return "berth stop --pool " + e.Pool }),
	about(func(words.NotFoundError) string { return "" }),
	func(err error) (string, bool) { return "berth ls", errors.Is(err, lease.ErrNotFound) },
	about(heavyHint),
	about(unreadableHint),
}

func unreadableHint(e *gate.UnreadableError) string {
	switch e.Gate {
	case "min-disk":
		return "name a path that exists"
	case "max-pressure":
		return "--max-cpu, --max-mem and --max-load do without it"
	}
	return "make that readable, or leave the flag out"
}

func usageHint(e *words.UsageError) string {
	if hinted := (*words.HintedError)(nil); errors.As(e.Err, &hinted) {
		return hinted.Next
	}
	if unknown := (*words.UnknownCommandError)(nil); errors.As(e.Err, &unknown) {
		if topic := topicMeant(unknown.Word); topic != "" {
			return "berth help " + topic
		}
	}
	return e.Cmd + " --help"
}

func foreignHint(e *lease.ForeignStoreError) string {
	if e.Default {
		return fmt.Sprintf("as root: rm -r '%s'; and 'd %s 0700 %s - -' in /etc/tmpfiles.d/berth.conf makes it at every boot", e.Dir, e.Dir, e.Me)
	}
	return fmt.Sprintf("if that is the store you mean: --store-owner %s, or BERTH_STORE_OWNER=%s", e.Owner, e.Owner)
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
		stalled, _ := view.StalledNotes(state, h)
		msg += ", held longest by " + view.Describe(h.Lease) + stalled
	}
	return msg
}

func busyHint(e *wait.BusyError) string {
	var busy *limiter.BusyError
	var held *lease.LockHeldError
	var stranger *stopping.StrangerError
	switch {
	case errors.As(e.Err, &stranger):
		return strangerHint(stranger)
	case errors.As(e.Err, &held):
		return heldHint(held)
	case errors.As(e.Err, &busy) && busy.Verdict.Reason == lease.Recovering:
		return "it passes by itself; --wait 1m waits for it"
	case busy != nil && busy.Verdict.Reason == lease.Gated:
		flags := words.Flags(e.Request.Conditions)
		if words.Printable(flags) != nil {
			return fmt.Sprintf("berth probe -p %s, with the gates of this command", e.Request.Pool)
		}
		return strings.Join(text.Quoted(append([]string{"berth", "probe", "-p", e.Request.Pool}, flags...)), " ")
	case busy != nil && busy.Kept:
		return "the place in the line is kept for the same --ticket"
	default:
		return fmt.Sprintf("berth ls %s", e.Request.Pool)
	}
}

func nestedHint(e *job.NestedError) string {
	switch {
	case e.How == "reuse":
		return "--nested=take waits for slots of its own"
	case e.Kept && e.Outer.Kept:
		return fmt.Sprintf("berth run --lease %s runs in the slot that is held already; berth release %s gives it back", e.Outer.ID, e.Outer.ID)
	case e.Kept:
		return "do without berth acquire: that job holds its slot for all that it runs"
	}
	return "--nested=reuse runs it in the slot of that job"
}
