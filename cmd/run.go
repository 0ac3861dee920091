package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"berth/lease"
	"berth/limiter"
	"berth/procwatch"
)

func runCommand(result *int) *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "Run COMMAND when a slot of its pool is free; give the slot back when it ends.",
		UsageText: "berth run [flags] [--] COMMAND [ARG...]",
		Description: `Callers of a pool are served first come, first served. The exit code is the
command's own; 75 no slot in time, 124 time limit, 125 berth itself failed,
126 and 127 the command cannot be run or is not found (looked up before the wait
and at the start), 128+n ended by signal n.
D is a duration: seconds like 30 or 1.5, or with a unit like 300ms, 10m, 1h30m.`,
		Flags: runFlags(),
		Action: func(c *cli.Context) error {
			spec, err := parseRun(c)
			if err != nil {
				return err
			}
			r := &runner{spec: spec, say: newSpeaker(spec.quiet, spec.verbose)}
			*result, err = r.run()
			if err != nil {
				r.say.explain(r.advised(err))
				return said(err)
			}
			return nil
		},
	}
}

// runner carries one 'berth run' from the words to the exit code:
// store, line, slot, child, release, straight through.
type runner struct {
	spec  *runSpec
	say   *speaker
	store *store
	asker *asker
	gated bool // there are gates to be asked, and there is room but for them
	tty   terminal

	signals *inbox
	caught  chan struct{} // closed once the drastic ones come to signals
}

// catchDrastic is for a goroutine of its own. Who may be stopped before there is a
// command catches the CONT that undoes it before.
func (r *runner) catchDrastic() {
	if r.spec.request.Gates != "" {
		r.signals.catch([]os.Signal{sigCONT})
	}
	r.signals.catch(drastic)
	procwatch.Reserve()
	close(r.caught)
	r.signals.see()
}

func (r *runner) run() (int, error) {
	err := r.find()
	if err != nil {
		return 0, err
	}
	if r.store, err = openStore(r.spec.store, true, r.say); err != nil {
		return 0, err
	}
	req := &r.spec.request
	req.ID = lease.NewID(req.Pool)
	req.Owner = lease.Process(r.store.self)
	req.UID = os.Getuid()
	req.Command = shownCommand(r.spec.argv)
	r.signals, r.caught = newInbox(), make(chan struct{})
	if !r.spec.exec {
		go r.catchDrastic() // beside the way to the slot
	}

	r.asker = newAsker(r.store, *req, r.say)
	var outer *lease.Lease
	var h lease.Holding
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
	case errors.As(err, &busy) && r.spec.onBusy == "skip":
		if busy.Verdict.Reason == lease.Recovers { // it is no job that is in the way
			r.say.notef("%v; skipped", err)
		} else {
			r.say.verbosef("%v; skipped", err)
		}
		return codeOK, nil
	case errors.As(err, &busy) && r.spec.onBusy == "run":
		r.say.notef("%v; running without one", err)
		return r.supervise(nil)
	case err != nil:
		return 0, err
	}
	return r.supervise(h)
}

// checkGates looks whether the caller's own gates can be answered here at all. A
// disk whose server is gone may never answer.
func (r *runner) checkGates(check func() error) error {
	ctx, cancel := r.allowed(context.Background())
	defer cancel()
	checked := make(chan error, 1)
	go func() { checked <- check() }()
	var ctl suspension
	for {
		select {
		case err := <-checked:
			return err
		case sig := <-r.signals.next():
			if ended := ctl.follow(sig, r.signals.next(), r.store.stop); ended != 0 {
				return signalError{ended}
			}
			continue
		case <-ctx.Done():
		}
		return &limiter.BusyError{Pool: r.spec.request.Pool, Verdict: lease.Verdict{Reason: lease.Gated, Why: "what the gates read does not come back"}}
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
		told["BERTH_STORE"] = r.store.where
	}
	for k, v := range r.spec.request.Labels {
		told["BERTH_LABEL_"+k] = v
	}
	if r.spec.timeout > 0 {
		told["BERTH_DEADLINE"] = strconv.FormatInt(time.Now().Add(r.spec.timeout).Unix(), 10)
	}
	drop := ofOuterLease
	if l == nil {
		drop = nil
	}
	return withVars(os.Environ(), told, drop)
}

// withVars is env with these variables, and without those that drop names.
func withVars(env []string, told map[string]string, drop func(string) bool) []string {
	env = slices.DeleteFunc(slices.Clone(env), func(e string) bool {
		k, _, _ := strings.Cut(e, "=")
		_, again := told[k]
		return again || drop != nil && drop(k)
	})
	for _, k := range sortedKeys(told) {
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

// outer returns the lease of the job we run inside, if that job is of the same
// pool of the same store and still holds its slot. The innermost BERTH_LEASE may
// be of another pool, with a job of this pool around it.
func (r *runner) outer() (*lease.Lease, error) {
	if os.Getenv("BERTH_LEASE") == "" {
		return nil, nil
	}
	pool, err := r.store.Summary(context.Background(), r.spec.request.Pool, lease.Ticket{})
	if err != nil {
		return nil, err
	}
	above, err := procwatch.Ancestors()
	if err != nil {
		return nil, err
	}
	above = append(above, r.store.self) // which was another command before, with --exec
	for _, h := range pool.Holders {
		if isAround(h.Lease, above) {
			return nest(r.spec.request, r.spec.nested, h.Lease, pool.Own.Limit)
		}
	}
	for _, h := range pool.Holders {
		// Berth and command were killed, and we have inherited the slot's lock: we
		// would wait for ourselves.
		if r.store.inherits(h.Lease) {
			return nest(r.spec.request, r.spec.nested, h.Lease, pool.Own.Limit)
		}
	}
	return nil, nil
}

// isAround reports whether we run inside the job l. That is asked of processes,
// not of the environment alone, which a process can outlive: the command is above
// us, or, if we have lost it, its berth, which takes the orphans. Above what a
// shell put into the background before it became that berth is only the berth.
func isAround(l *lease.Lease, above []procwatch.ID) bool {
	for _, a := range above {
		p := lease.Process(a)
		notYet := l.Child == nil // recorded
		if !notYet && p == *l.Child || p == l.Owner && (notYet || startedIn(l, above)) {
			return true
		}
	}
	return false
}

// startedIn reports whether one of these was started with the lease in its
// environment. Ours may name a job of another pool inside that one.
func startedIn(l *lease.Lease, above []procwatch.ID) bool {
	return os.Getenv("BERTH_LEASE") == l.ID || slices.ContainsFunc(above, func(a procwatch.ID) bool { return a.StartedWith("BERTH_LEASE=" + l.ID) })
}

// nest decides what a request does inside the job outer of its own pool: it runs
// in that job's slot (which is returned), takes one of its own (nil), or neither.
func nest(r lease.Request, how string, outer *lease.Lease, own *int) (*lease.Lease, error) {
	most := lease.Smallest(own, outer.Asks, r.Ask(own))
	switch {
	case how == "take" && most > 0 && len(outer.Slots)+r.Weight > most:
		return nil, &nestedError{outer, fmt.Sprintf("and would wait for it: %d more is over the limit of %d", r.Weight, most), "--nested=reuse runs it in the slot of that job"}
	case how == "take":
		return nil, nil
	case how == "fail":
		return nil, &nestedError{outer, "and --nested=fail was given", "--nested=reuse runs it in the slot of that job"}
	case r.Weight > len(outer.Slots):
		return nil, &nestedError{outer, fmt.Sprintf("but has only %s, not --weight %d", plural(len(outer.Slots), "slot"), r.Weight), "--nested=take waits for slots of its own"}
	}
	return outer, nil
}

// nestedError says that this job is inside another one of its pool.
type nestedError struct {
	outer *lease.Lease
	why   string
	next  string
}

func (e *nestedError) Error() string {
	return fmt.Sprintf("this runs inside job %s, which holds slot %s of the same pool, %s", e.outer.ID, slotList(e.outer.Slots), e.why)
}

// inside runs the command in the slot of the job around it.
func (r *runner) inside(outer *lease.Lease) (int, error) {
	if r.spec.idle > 0 {
		return 0, &nestedError{outer, "and 'berth keepalive' would reset its idle clock, not that of --idle-timeout here", "--nested=take waits for a slot of its own"}
	}
	r.say.verbosef("inside job %s: running in its slot %d", outer.ID, outer.Slots[0])
	return r.supervise(nil)
}
