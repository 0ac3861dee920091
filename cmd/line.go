package cmd

import (
	"context"
	"errors"
	"os"
	"time"

	"berth/cmd/gates"
	"berth/cmd/job"
	"berth/cmd/open"
	"berth/cmd/storename"
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

// claim gets the slots that a command needs, from the words to the leases: it opens the store,
// says who we are, and stands in the line. What the slots are for is its caller's matter.
type claim struct {
	*words.Line
	say     *speaker
	signals *tty.Signals
	// becomes: this process will be the command (--exec). Signals are then caught only for
	// the time of a wait.
	becomes  bool
	binds    bool // the command is to be killed when this process is
	catching bool
	joined   func(context.Context, lease.Ticket) // is told of each place in a line; nil: nobody is
	store    *open.Store
	outer    map[string]*lease.Lease // by pool: those of jobs around this one that are reused
	// givenBack are leases that were had too late: a signal had ended the wait. nil: there are none.
	givenBack []lease.Lease
}

func newClaim(l *words.Line) *claim {
	return &claim{Line: l, say: newSpeaker(l.Quiet, l.Verbose), signals: tty.NewSignals()}
}

// open opens the store. No signal is caught yet, so each does what it does to any process.
func (c *claim) open(ctx context.Context) (err error) {
	c.store, err = openPatiently(ctx, c.Store, c.say, true, c.Wait)
	return err
}

// openPatiently opens a store to wait for something in it. That may need a server, which is
// waited for as well, for so long: 0: not at all; negative: as long as it takes.
func openPatiently(ctx context.Context, spec storename.Spec, say *speaker, create bool, atMost time.Duration) (st *open.Store, err error) {
	try := func(context.Context) (err error) {
		st, err = open.Open(spec, say.opening(create))
		return err
	}
	switch {
	case atMost == 0:
		err = try(ctx)
		return st, err
	case atMost > 0:
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, atMost)
		defer cancel()
	}
	err = retry.Do(ctx, say.trouble, try)
	return st, err
}

// introduce says in the requests who we are and what is to run, and begins to catch signals.
func (c *claim) introduce(command []string) {
	shown, inside := words.ShownCommand(command), job.EnvLeases()
	var ids []string
	for i := range c.Requests {
		q := &c.Requests[i]
		q.ID = lease.NewID(q.Pool)
		q.Owner, q.UID = lease.Process(c.store.Self), os.Getuid()
		q.Command, q.Inside = shown, inside
		q.Supersedes = c.Supersede
		ids = append(ids, q.ID)
	}
	if len(ids) > 1 {
		for i := range c.Requests {
			c.Requests[i].Together = ids
		}
	}
	if c.becomes {
		c.mark()
	} else {
		c.catch()
	}
}

// catch begins to catch, in the background, the signals that would end or suspend this
// process. While gates are checked, or the pool is read for the job around this one, it can
// be suspended before there is a command, so CONT, which cancels that, is caught first.
func (c *claim) catch() {
	if c.catching {
		return
	}
	c.catching = true
	var first []os.Signal
	if len(c.Requests) > 1 || c.First().Gates != "" || os.Getenv("BERTH_LEASE") != "" {
		first = []os.Signal{tty.CONT}
	}
	c.signals.Start(first, tty.BeforeStart, c.mark)
}

// mark shows 'berth stop' which job this is. Without the mark a request to stop takes longer.
func (c *claim) mark() {
	for i := range c.Requests {
		_ = procwatch.Mark(job.Mark(c.Requests[i].ID))
	}
}

// take gets the slots, with a session for each pool in the order in which they were typed. It
// has none of a pool when this runs inside another job of that pool, in whose slot it is.
func (c *claim) take(ctx context.Context) (limiter.Sessions, error) {
	if len(c.Requests) > 1 {
		return c.takeSeveral(ctx)
	}
	q := *c.First()
	asker := newAsker(c.store, q, c.say)
	w := c.waiter(q, asker)
	if q.Gates != "" {
		if err := w.Answerable(ctx, false, asker.Check); err != nil {
			return nil, err
		}
	}
	if c.looksFirst(q) {
		if inside, err := c.isInside(ctx, w); inside || err != nil {
			return nil, err
		}
	} else {
		w.Busy = func(ctx context.Context) error { return c.insideIfBusy(ctx, w) }
	}
	s, err := w.Acquire(ctx)
	switch {
	case errors.Is(err, errInside):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return limiter.Sessions{s}, nil
}

// looksFirst reports whether to find out before anything else if this runs inside a job of the
// pool. A caller without a sign of that is spared the reading of a pool that has room; but a
// place in the line must not be taken in vain where that changes something for others.
func (c *claim) looksFirst(q lease.Request) bool {
	return os.Getenv("BERTH_LEASE") != "" || c.Nested != "reuse" || c.Supersede || q.Key != ""
}

func (c *claim) waiter(q lease.Request, asker *gates.Asker) *wait.Waiter {
	w := &wait.Waiter{
		Store: c.store, Request: q, Remote: c.store.Remote, AtMost: c.Wait,
		Signals: c.signals, SuspendIf: c.store.SuspendIf, Ask: asker.Ask, Check: asker.CheckPool, Trouble: c.say.trouble,
		First:      func() { procwatch.Reserve(c.store.Remote || c.binds) }, // forking is prepared now: at the hand-over it would cost 0.6 ms
		Recovering: func(v lease.Verdict) { c.recovering(q.Pool, v) },
		GivenBack:  func(l lease.Lease) { c.givenBack = append(c.givenBack, l) },
	}
	if c.becomes {
		w.Catch = c.catch
	}
	w.Joined = c.joined
	if c.Supersede {
		w.Line, w.Joined = true, func(ctx context.Context, t lease.Ticket) {
			if c.supersede(ctx, t); c.joined != nil {
				c.joined(ctx, t)
			}
		}
	}
	if c.OnBusy == "replace" {
		w.Replace = (&replacer{c.store, c.say, q, newAsker(c.store, q, c.say)}).endOne
	}
	if !c.Quiet {
		w.Progress = c.progress(q)
	}
	return w
}

func (c *claim) recovering(pool string, v lease.Verdict) {
	c.say.notef("pool %s: %v", pool, v)
	if !c.Quiet {
		c.say.advise(freshHint(c.store.Where))
	}
}

func (c *claim) progress(q lease.Request) *wait.Progress {
	p := c.say.progress(func(pool *lease.Pool, err error, waited time.Duration) fitting {
		return view.WaitingLine(pool, err, q, waited, c.store.Clock())
	})
	if mayCircle(&q) {
		p.Circle = circleWatch(c.store, c.say)
	}
	return p
}

// errInside ends a wait because the job around this one has the slot.
var errInside = errors.New("inside a job of the pool")

// insideIfBusy looks for a slot that was acquired for a process above this one, which does not
// show in our environment. It costs a read of the pool, so a command that finds a free slot
// takes that.
func (c *claim) insideIfBusy(ctx context.Context, w *wait.Waiter) error {
	inside, err := c.isInside(ctx, w)
	if inside && err == nil {
		return errInside
	}
	return err
}

// isInside reports whether this runs in the slot of a job of the pool around it.
func (c *claim) isInside(ctx context.Context, w *wait.Waiter) (bool, error) {
	pool, err := w.Pool(ctx)
	if err != nil {
		return false, err
	}
	return c.inside(w, pool)
}

// inside is isInside for a pool that was read.
func (c *claim) inside(w *wait.Waiter, pool lease.Pool) (bool, error) {
	outer, err := job.Outer(pool, c.store.Self, c.store.Inherits)
	if outer == nil || err != nil {
		return false, err
	}
	outer, err = job.Nest(w.Request, c.Nested, outer, pool.Own.Limit)
	if outer == nil || err != nil {
		return false, err
	}
	c.say.verbosef("inside job %s: running in its slot %d", outer.ID, outer.Slots[0])
	if c.outer == nil {
		c.outer = map[string]*lease.Lease{}
	}
	c.outer[w.Request.Pool] = outer
	return true, nil
}

func newAsker(st *open.Store, q lease.Request, say *speaker) *gates.Asker {
	return &gates.Asker{
		Store: st, Where: st.Where, Boot: st.Self.Boot, Request: q, UserName: text.UserName,
		Failed: func(why string) { say.errorf("%s", why) },
	}
}
