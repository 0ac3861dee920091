package cmd

import (
	"context"
	"errors"
	"os"
	"time"

	"berth/cmd/handover"
	"berth/cmd/job"
	"berth/cmd/open"
	"berth/cmd/words"
	"berth/lease"
	"berth/limiter"
	"berth/procwatch"
)

func run(spec *words.Run) (int, error) {
	if spec.Detach && !handover.IsBack() {
		return detach()
	}
	r := &runner{claim: newClaim(&spec.Line), spec: spec}
	r.becomes, r.binds = spec.Exec, spec.IfOrphaned == "kill"
	if spec.Detach {
		r.detaching = &detaching{claim: r.claim, log: spec.Log}
	}
	code, err := r.run(context.Background())
	err = r.advised(err)
	r.detaching.end(code, err, r.why)
	return code, err
}

// runner carries one 'berth run' from its words to its exit code, straight through: the
// store, the slots, the job.
type runner struct {
	*claim
	spec      *words.Run
	detaching *detaching        // nil: the caller waits for the end
	why       error             // why berth ended the job; nil: it ended by itself
	since     time.Time         // when this began to wait for its slots
	stop      <-chan lease.Stop // a request to end the job that does not come from the store; nil: there is none
}

func (r *runner) run(ctx context.Context) (int, error) {
	ctx, cancel, err := r.detaching.attend(ctx)
	if err != nil {
		return 0, err
	}
	defer cancel()
	ctx, leave, err := r.withParent(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	return r.runWith(ctx)
}

func (r *runner) runWith(ctx context.Context) (int, error) {
	// A command that disappears during the wait for a slot is reported at the start.
	if err := procwatch.Find(r.spec.Argv, os.Environ()); err != nil {
		return 0, err
	}
	r.since = time.Now()
	if err := r.open(ctx); err != nil {
		return 0, r.ofCaller(ctx, err)
	}
	if r.spec.Lease != "" {
		return r.runAdopted(ctx)
	}
	r.introduce(r.spec.Argv)
	r.noteSudo()
	if err := r.detaching.begin(); err != nil {
		return 0, err
	}
	sessions, err := r.take(ctx)
	err = r.ofCaller(ctx, err)
	if r.givenBack != nil {
		r.unused(r.givenBack, err)
	}
	var busy *limiter.BusyError
	switch {
	case err == nil:
	case errors.As(err, &busy) && r.spec.OnBusy == "skip":
		r.skipped(busy, err)
		return codeOK, nil
	case errors.As(err, &busy) && r.spec.OnBusy == "run":
		r.say.notef("%s; running without one", busyText(err))
	default:
		return 0, err
	}
	return r.start(ctx, sessions)
}

func (r *runner) skipped(busy *limiter.BusyError, err error) {
	if busy.Verdict.Reason == lease.Recovering { // no job is in the way
		r.say.notef("%s; skipped", busyText(err))
	} else {
		r.say.verbosef("%s; skipped", busyText(err))
	}
}

// start runs the command in the slots of its sessions, or without any, and returns the exit
// code.
func (r *runner) start(ctx context.Context, s limiter.Sessions) (int, error) {
	r.signals.Ready() // before there is a child that would miss them, and before a line is written
	m := &messages{say: r.say, spec: r.spec, store: r.store, leases: s.Leases()}
	m.taken()
	in := job.Inputs{Signals: r.signals, Suspend: r.store.Suspend, Clock: r.store.Clock, Stop: r.stop}
	if r.spec.Exec {
		m.limit() // nothing is left to say it afterwards
		r.say.out.flush(beforeStart)
		return 0, job.Become(ctx, s, r.spec.Argv, r.environ(r.leases(s)), in)
	}
	r.say.out.flush(beforeStart)
	if err := r.detaching.leaveWith(ctx, s); err != nil {
		return 0, err
	}
	return r.supervise(ctx, s, in, m)
}

func (r *runner) jobSpec(env []string, leases []lease.Lease) job.Spec {
	return job.Spec{
		Argv: r.spec.Argv, Env: env, OfLease: r.ofLease(leases),
		Timeout: r.spec.Timeout, IdleTimeout: r.spec.IdleTimeout, Signal: r.spec.Signal, KillAfter: r.spec.KillAfter,
		HoldTree: r.spec.Hold == "tree", EndLeftovers: r.spec.Leftovers == "kill", NameLeftovers: !r.spec.Quiet,
		RunOnWhenLost: r.spec.OnLost == "warn", Bound: r.spec.IfOrphaned == "kill",
	}
}

func (r *runner) environ(leases []lease.Lease) []string {
	told := job.Told{
		Store: r.store.Where, StoreOwner: r.store.Owner, Job: r.First().Job, Labels: r.First().Labels,
		SlotEnv: r.spec.SlotEnv, Outer: r.outer[r.First().Pool],
	}
	if r.spec.Timeout > 0 {
		told.Deadline = time.Now().Add(r.spec.Timeout)
	}
	if l := r.ofLease(leases); l.Timeout > 0 {
		if ends := time.Now().Add(l.Left); told.Deadline.IsZero() || ends.Before(told.Deadline) {
			told.Deadline = ends
		}
	}
	return job.Environ(callersEnviron(), leases, told)
}

// callersEnviron is our environment as our caller made it. The command gets it, and berth's
// own variables.
func callersEnviron() []string { return job.CallersEnviron(open.Becoming) }
