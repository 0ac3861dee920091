package cmd

import (
	"context"
	"errors"
	"os"
	"time"

	"berth/cmd/gates"
	"berth/cmd/job"
	"berth/cmd/open"
	"berth/cmd/text"
	"berth/cmd/tty"
	"berth/cmd/view"
	"berth/cmd/wait"
	"berth/cmd/words"
	"berth/lease"
	"berth/lease/retry"
	"berth/limiter"
	"berth/procwatch"
)

func run(spec *words.Run) (int, error) {
	r := &runner{spec: spec, say: newSpeaker(spec.Quiet, spec.Verbose), signals: tty.NewSignals()}
	code, err := r.run(context.Background())
	return code, r.advised(err)
}

// runner carries one 'berth run' from its words to its exit code, straight through: the
// store, the slots, the job.
type runner struct {
	spec    *words.Run
	say     *speaker
	store   *open.Store
	signals *tty.Signals
}

func (r *runner) run(ctx context.Context) (int, error) {
	// A command that disappears during the wait for a slot is reported at the start.
	if err := procwatch.Find(r.spec.Argv, os.Environ()); err != nil {
		return 0, err
	}
	if err := r.openStore(ctx); err != nil {
		return 0, err
	}
	r.introduce()
	r.noteSudo()
	session, err := r.slots(ctx)
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
	return r.start(ctx, session)
}

// openStore opens the store. That may need a server: a request that waits for a slot waits for
// the server, too. No signal is caught yet, so each does what it does to any process.
func (r *runner) openStore(ctx context.Context) error {
	try := func(context.Context) (err error) {
		r.store, err = open.Open(r.spec.Store, r.say.opening(true))
		return err
	}
	if r.spec.Wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.spec.Wait)
		defer cancel()
	}
	if r.spec.Wait != 0 {
		return retry.Do(ctx, r.say.trouble, try)
	}
	return try(ctx)
}

// introduce says in the request who we are, and begins to catch signals.
func (r *runner) introduce() {
	q := &r.spec.Request
	q.ID = lease.NewID(q.Pool)
	q.Owner, q.UID = lease.Process(r.store.Self), os.Getuid()
	q.Command = words.ShownCommand(r.spec.Argv)
	if r.spec.Exec {
		r.mark()
	} else {
		r.catch()
	}
}

// catch begins to catch, in the background, the signals that would end or suspend this
// process. While gates are checked, or the pool is read for the job around this one, it can
// be suspended before there is a command, so CONT, which cancels that, is caught first.
func (r *runner) catch() {
	var first []os.Signal
	if r.spec.Request.Gates != "" || os.Getenv("BERTH_LEASE") != "" {
		first = []os.Signal{tty.CONT}
	}
	r.signals.Start(first, tty.BeforeStart, r.mark)
}

// mark shows 'berth stop' which job this is. Without the mark a request to stop takes longer.
func (r *runner) mark() { _ = procwatch.Mark(job.Mark(r.spec.Request.ID)) }

// slots gets the slots. No session and no error: the job has no slots of its own, because it
// runs inside another job of its pool.
func (r *runner) slots(ctx context.Context) (*limiter.Session, error) {
	asker := newAsker(r.store, r.spec.Request, r.say)
	w := r.waiter(asker)
	if r.spec.Request.Gates != "" {
		if err := w.Answerable(ctx, false, asker.Check); err != nil {
			return nil, err
		}
	}
	if os.Getenv("BERTH_LEASE") != "" {
		if inside, err := r.inside(ctx, w); inside || err != nil {
			return nil, err
		}
	}
	return w.Acquire(ctx)
}

func (r *runner) waiter(asker *gates.Asker) *wait.Waiter {
	w := &wait.Waiter{
		Store: r.store, Request: r.spec.Request, Remote: r.store.Remote, AtMost: r.spec.Wait,
		Signals: r.signals, SuspendIf: r.store.SuspendIf, Ask: asker.Ask, Check: asker.CheckPool, Trouble: r.say.trouble,
		First:      func() { procwatch.Reserve(r.store.Remote) }, // forking is prepared now: at the hand-over it would cost 0.6 ms
		Recovering: r.recovering,
	}
	if r.spec.Exec {
		w.Catch = r.catch
	}
	if !r.spec.Quiet {
		w.Progress = r.progress()
	}
	return w
}

func (r *runner) recovering(v lease.Verdict) {
	r.say.notef("pool %s: %v", r.spec.Request.Pool, v)
	if !r.spec.Quiet {
		r.say.advise(freshHint(r.store.Where))
	}
}

func (r *runner) progress() *wait.Progress {
	p := &wait.Progress{Live: tty.IsTerminal(2), Show: func(text string) { r.say.line("", "%s", text) }, Erase: r.say.erase}
	if p.Live {
		p.Show = r.say.draw
	}
	p.Text = func(pool *lease.Pool, err error, waited time.Duration) string {
		line := view.WaitingLine(pool, err, r.spec.Request, waited, r.store.Clock())
		if !p.Live {
			return line.Fit(0)
		}
		columns, _ := tty.WindowSize(2)
		return line.Fit(columns - 1)
	}
	return p
}

// inside reports whether the job runs in the slot of a job of its pool around it.
func (r *runner) inside(ctx context.Context, w *wait.Waiter) (bool, error) {
	pool, err := w.Pool(ctx)
	if err != nil {
		return false, err
	}
	outer, err := job.Outer(pool, r.store.Self, r.store.Inherits)
	if outer == nil || err != nil {
		return false, err
	}
	outer, err = job.Nest(r.spec.Request, r.spec.Nested, outer, pool.Own.Limit)
	if outer == nil || err != nil {
		return false, err
	}
	r.say.verbosef("inside job %s: running in its slot %d", outer.ID, outer.Slots[0])
	return true, nil
}

func (r *runner) skipped(busy *limiter.BusyError, err error) {
	if busy.Verdict.Reason == lease.Recovering { // no job is in the way
		r.say.notef("%s; skipped", busyText(err))
	} else {
		r.say.verbosef("%s; skipped", busyText(err))
	}
}

// start runs the command, with the slots of a session or without (nil), and returns the exit
// code.
func (r *runner) start(ctx context.Context, s *limiter.Session) (int, error) {
	r.signals.Ready() // before there is a child that would miss them, and before a line is written
	m := &messages{say: r.say, spec: r.spec, store: r.store}
	if s != nil {
		held := s.Lease()
		m.lease = &held
	}
	m.taken()
	in := job.Inputs{Signals: r.signals, Suspend: r.store.Suspend, Clock: r.store.Clock}
	if r.spec.Exec {
		m.limit() // nothing is left to say it afterwards
		r.say.out.flush(beforeStart)
		return 0, job.Become(ctx, s, r.spec.Argv, r.environ(m.lease), in)
	}
	r.say.out.flush(beforeStart)
	result, err := job.Run(ctx, s, r.jobSpec(m.lease), in, m.sink)
	if err != nil {
		return 0, err
	}
	return codeOfJob(result)
}

func (r *runner) jobSpec(l *lease.Lease) job.Spec {
	return job.Spec{
		Argv: r.spec.Argv, Env: r.environ(l),
		Timeout: r.spec.Timeout, IdleTimeout: r.spec.IdleTimeout, Signal: r.spec.Signal, KillAfter: r.spec.KillAfter,
		HoldTree: r.spec.Hold == "tree", EndLeftovers: r.spec.Leftovers == "kill", NameLeftovers: !r.spec.Quiet,
		RunOnWhenLost: r.spec.OnLost == "warn",
	}
}

func (r *runner) environ(l *lease.Lease) []string {
	told := job.Told{Store: r.store.Where, StoreOwner: r.store.Owner, Labels: r.spec.Request.Labels}
	if r.spec.Timeout > 0 {
		told.Deadline = time.Now().Add(r.spec.Timeout)
	}
	return job.Environ(callersEnviron(), l, told)
}

// callersEnviron is our environment as our caller made it. The command gets it, and berth's
// own variables.
func callersEnviron() []string { return job.CallersEnviron(open.Becoming) }

func newAsker(st *open.Store, q lease.Request, say *speaker) *gates.Asker {
	return &gates.Asker{
		Store: st, Where: st.Where, Boot: st.Self.Boot, Request: q, UserName: text.UserName,
		Failed: func(why string) { say.errorf("%s", why) },
	}
}
