package cmd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"berth/cmd/open"
	"berth/cmd/text"
	"berth/cmd/tty"
	"berth/cmd/view"
	"berth/cmd/words"
	"berth/lease"
	"berth/lease/clock"
	"berth/limiter"
	"berth/procwatch"
)

// explain says what an error means and what to do next.
func (s *speaker) explain(err error) {
	var (
		usage   *words.UsageError
		busy    *busyError
		nested  *nestedError
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
		s.errorf("%v", busy)
		s.hintf("%s", busy.hint())
	case errors.As(err, &nested):
		s.errorf("%v", err)
		s.hintf("%s", nested.next)
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

// busyError is a BusyError with what can be seen of who is in the way.
type busyError struct {
	err   error
	pool  string
	terms lease.Conditions // of the caller
	state *lease.Pool      // nil: could not be read
	now   clock.Instant
}

func (e *busyError) Error() string {
	msg := e.err.Error()
	var busy *limiter.BusyError
	switch {
	case e.state == nil || errors.As(e.err, &busy) && (busy.Verdict.Reason == lease.Gated || busy.Verdict.Reason == lease.Recovering):
	case view.Drained(e.state.Own) != "" && busy != nil && busy.Verdict.Reason == lease.Drained:
		msg += view.Drained(e.state.Own)
	case view.Drained(e.state.Own) != "":
		msg += "; the pool's own limit is 0" + view.Drained(e.state.Own)
	case busy != nil && busy.Verdict.Reason == lease.Behind && view.WhyOfHead(e.state, e.now) != "":
		msg += "; the first waits for " + view.WhyOfHead(e.state, e.now)
	default:
		if h := view.Longest(e.state); h != nil {
			msg += ", longest by " + view.Describe(h.Lease) + view.StalledNotes(e.state, h)[0]
		}
	}
	return msg
}

func (e *busyError) Unwrap() error { return e.err }

func (e *busyError) hint() string {
	var busy *limiter.BusyError
	var held *lease.LockHeldError
	switch {
	case errors.As(e.err, &held):
		return heldHint(held)
	case errors.As(e.err, &busy) && busy.Verdict.Reason == lease.Recovering:
		return "it passes by itself; --wait 1m waits for it"
	case busy != nil && busy.Verdict.Reason == lease.Gated:
		return strings.Join(text.Quoted(append([]string{"berth", "probe", "-p", e.pool}, words.Flags(e.terms)...)), " ")
	case busy != nil && busy.Kept:
		return "the place in the line is kept for the same --ticket"
	default:
		return fmt.Sprintf("berth ls %s", e.pool)
	}
}

// inTheWay reads the pool for an explanation; nil when that fails. A signal that ends
// it is the error: a shell goes on with its loop after Ctrl-C unless we die of it. Not
// the whole line: a thousand waiters may ask at the same time.
func (r *runner) inTheWay() (*lease.Pool, error) {
	seen := make(chan *lease.Pool, 1)
	go func() {
		p, err := r.look(lease.Ticket{}, time.Second)
		if err != nil {
			p = nil
		}
		seen <- p
	}()
	for {
		select {
		case p := <-seen:
			return p, nil
		case sig := <-r.signals.Next():
			if tty.ClassOf(sig, tty.Alone) == tty.Terminate {
				return nil, tty.SignalError{Signal: sig}
			}
		}
	}
}

// look reads the pool for what people are told. It takes as long as the store does,
// but for that limit.
func (r *runner) look(t lease.Ticket, atMost time.Duration) (*lease.Pool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), atMost)
	defer cancel()
	p, err := r.store.Summary(ctx, r.spec.Request.Pool, t)
	var held *lease.LockHeldError
	switch {
	case errors.As(err, &held) && held.PID != 0:
		err = held
	case errors.Is(err, context.DeadlineExceeded):
		err = errors.New("the store does not answer")
	}
	return &p, err
}

// noteLimit says once when the caller's number is not the one in force. Whose that
// is the store is asked, beside whoever looks after the command.
func (r *runner) noteLimit(l *lease.Lease) {
	if asked := r.spec.Request.Limit; l != nil && asked > 0 && l.InForce < asked && !r.say.quiet {
		r.say.out.later(func() {
			r.say.notef("pool %s: limit %d is in force, not the %d of -n, because %s", l.Pool, l.InForce, asked, r.whose(l.InForce))
		})
	}
}

func (r *runner) whose(limit int) string {
	p, err := r.look(lease.Ticket{}, lastWords/2)
	if err != nil {
		p = nil
	}
	if p != nil && p.Own.Limit != nil && *p.Own.Limit <= limit {
		says := fmt.Sprintf("'berth limit %s' says so", p.Name)
		if by := view.SetBy(p.Own); by != "" && p.Own.Reason != "" {
			says += ", " + by
		}
		return says
	}
	if p != nil {
		for _, h := range p.Holders {
			if h.Lease.RequestedLimit == limit && h.Lease.ID != r.spec.Request.ID {
				return fmt.Sprintf("a job that runs asked for it: %s", view.Describe(h.Lease))
			}
		}
	}
	return "a job that was running asked for it"
}
