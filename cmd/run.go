package cmd

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"berth/cmd/open"
	"berth/cmd/tty"
	"berth/cmd/words"
	"berth/lease"
	"berth/lease/retry"
	"berth/limiter"
	"berth/procwatch"
)

func run(spec *words.Run) (int, error) {
	r := &runner{spec: spec, say: newSpeaker(spec.Quiet, spec.Verbose)}
	code, err := r.run()
	return code, r.advised(err)
}

// runner carries one 'berth run' from the words to the exit code:
// store, line, slot, child, release, straight through.
type runner struct {
	spec  *words.Run
	say   *speaker
	store *open.Store
	asker *asker
	gated bool // there are gates to be asked, and there is room but for them
	term  tty.Terminal

	signals *tty.Signals
	caught  chan struct{} // closed once the drastic ones come to signals
}

// catchDrastic is for a goroutine of its own. Who may be stopped before there is a
// command catches the CONT that undoes it before.
func (r *runner) catchDrastic() {
	if r.spec.Request.Gates != "" {
		r.signals.Catch([]os.Signal{tty.CONT})
	}
	r.signals.Catch(tty.Fatal)
	close(r.caught)
	r.mark()
	r.signals.Run()
}

// mark shows 'berth stop' who we are. Without it a request to stop is heard of later.
func (r *runner) mark() { _ = procwatch.Mark(mark(r.spec.Request.ID)) }

func (r *runner) run() (int, error) {
	err := r.find()
	if err != nil {
		return 0, err
	}
	if err = r.open(); err != nil {
		return 0, err
	}
	req := &r.spec.Request
	req.ID = lease.NewID(req.Pool)
	req.Owner = lease.Process(r.store.Self)
	req.UID = os.Getuid()
	req.Command = words.ShownCommand(r.spec.Argv)
	r.signals, r.caught = tty.NewSignals(), make(chan struct{})
	if r.spec.Exec {
		r.mark()
	} else {
		go r.catchDrastic() // beside the way to the slot
	}

	r.noteSudo()

	r.asker = newAsker(r.store, *req, r.say)
	var outer *lease.Lease
	var h *limiter.Session
	if req.Gates != "" {
		err = r.checkGates(r.asker.check)
	}
	if err == nil {
		outer, err = r.outer()
	}
	switch {
	case err != nil:
	case outer != nil:
		return r.inside(outer)
	default:
		h, err = r.acquire()
	}
	var busy *limiter.BusyError
	switch {
	case errors.As(err, &busy) && r.spec.OnBusy == "skip":
		if busy.Verdict.Reason == lease.Recovering { // it is no job that is in the way
			r.say.notef("%v; skipped", err)
		} else {
			r.say.verbosef("%v; skipped", err)
		}
		return codeOK, nil
	case errors.As(err, &busy) && r.spec.OnBusy == "run":
		r.say.notef("%v; running without one", err)
		return r.supervise(nil)
	case err != nil:
		return 0, err
	}
	return r.supervise(h)
}

// open opens the store. Of some a server has to be asked for that, and who waits for a
// slot waits for it. No signal is caught yet.
func (r *runner) open() error {
	open := func(context.Context) (err error) {
		r.store, err = open.Open(r.spec.Store, r.say.opening(true))
		return err
	}
	if r.spec.Wait == 0 {
		return open(context.Background())
	}
	ctx, cancel := r.allowed(context.Background())
	defer cancel()
	return retry.Do(ctx, r.say.trouble, open)
}

// checkGates looks whether the caller's own gates can be answered here at all. A
// disk whose server is gone may never answer.
func (r *runner) checkGates(check func() error) error {
	ctx, cancel := r.allowed(context.Background())
	defer cancel()
	err, back := r.heedful(ctx, check)
	if !back {
		return &limiter.BusyError{Pool: r.spec.Request.Pool, Verdict: lease.Verdict{Reason: lease.Gated, Why: "what the gates read does not come back"}}
	}
	return err
}

// heedful is what f returns, or the signal that came meanwhile and ends us; false: ctx
// was over first.
func (r *runner) heedful(ctx context.Context, f func() error) (err error, back bool) {
	done := make(chan error, 1)
	go func() { done <- f() }()
	var ctl tty.Suspension
	for {
		select {
		case err := <-done:
			return err, true
		case sig := <-r.signals.Next():
			if ended := ctl.Follow(sig, r.signals.Next(), r.store.Suspend); ended != 0 {
				return tty.SignalError{Signal: ended}, true
			}
		case <-ctx.Done():
			return nil, false
		}
	}
}

// environ is the caller's environment and what the child is told of its lease.
func (r *runner) environ(l *lease.Lease) []string {
	told := map[string]string{}
	if l != nil {
		slots := make([]string, len(l.Slots))
		for i, s := range l.Slots {
			slots[i] = strconv.Itoa(s)
		}
		told["BERTH_POOL"] = l.Pool
		told["BERTH_SLOT"] = slots[0]
		told["BERTH_SLOTS"] = strings.Join(slots, ",")
		told["BERTH_LIMIT"] = strconv.Itoa(l.InForce)
		told["BERTH_LEASE"] = l.ID
		told["BERTH_TOKEN"] = strconv.FormatUint(l.Token, 10)
		told["BERTH_STORE"] = r.store.Where
		if r.store.Owner != "" {
			told["BERTH_STORE_OWNER"] = r.store.Owner
		}
	}
	for k, v := range r.spec.Request.Labels {
		told["BERTH_LABEL_"+k] = v
	}
	if r.spec.Timeout > 0 {
		told["BERTH_DEADLINE"] = strconv.FormatInt(time.Now().Add(r.spec.Timeout).Unix(), 10)
	}
	drop := ofOuterLease
	if l == nil || os.Getenv("BERTH_LEASE") == "" { // without an outer lease they are the caller's own
		drop = nil
	}
	return withVars(callersEnviron(), told, drop)
}

// withVars is env with these variables, and without those that drop names.
func withVars(env []string, told map[string]string, drop func(string) bool) []string {
	env = slices.DeleteFunc(env, func(e string) bool {
		k, _, _ := strings.Cut(e, "=")
		_, again := told[k]
		return again || drop != nil && drop(k)
	})
	for _, k := range slices.Sorted(maps.Keys(told)) {
		env = append(env, k+"="+told[k])
	}
	return env
}

// ofOuterLease reports whether a variable describes the lease of a berth
// around this one, which is not the child's.
func ofOuterLease(k string) bool {
	switch k {
	case "BERTH_POOL", "BERTH_SLOT", "BERTH_SLOTS", "BERTH_LIMIT", "BERTH_LEASE", "BERTH_TOKEN", "BERTH_DEADLINE":
		return true
	}
	return strings.HasPrefix(k, "BERTH_LABEL_")
}
