package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"berth/lease"
	"berth/limiter"
	"berth/procwatch"
)

func stopCommand() *cli.Command {
	return &cli.Command{
		Name:      "stop",
		Usage:     "End jobs with all their processes, and send waiters away.",
		UsageText: "berth stop [flags] LEASE...\nberth stop [flags] --pool POOL",
		Description: `A job is ended by its own berth: a signal to the whole tree, a grace, KILL.
A waiter leaves the line with exit code 75. An orphan's tree is ended from
here. Returns when they are gone. LEASE is what 'berth ls' shows; without one
that is known the exit code is 1.`,
		Flags: []cli.Flag{
			newString(cli.StringFlag{Name: "pool", Aliases: []string{"p"}, Usage: "`POOL` stop all jobs and waiters of this pool"}),
			newNumber(cli.StringFlag{Name: "kill-after", Usage: "`D` KILL so long after the first signal (default: the job's own)"}),
			newBool(cli.BoolFlag{Name: "now", Usage: "KILL at once"}),
			newString(cli.StringFlag{Name: "reason", Usage: "`TEXT` have the job's berth say this"}),
			storeFlag(""), ownerFlag(""),
		},
		Action: func(c *cli.Context) error {
			ids, stop, err := parseStop(c)
			if err != nil {
				return err
			}
			say := newSpeaker(false, false)
			st, err := openStore(storeOf(c), false, say)
			if err != nil {
				return err
			}
			st.minded()
			return stopAll(st, say, c.String("pool"), ids, stop)
		},
	}
}

func parseStop(c *cli.Context) ([]string, lease.Stop, error) {
	var stop lease.Stop
	bad := func(err error) ([]string, lease.Stop, error) { return nil, stop, &usageError{err, "berth stop"} }
	ids := c.Args().Slice()
	switch {
	case c.IsSet("pool") == (len(ids) > 0):
		return bad(errors.New("name either LEASE... or --pool POOL"))
	case c.IsSet("pool") && lease.CheckPool(c.String("pool")) != nil:
		return bad(lease.CheckPool(c.String("pool")))
	case c.Bool("now") && c.IsSet("kill-after"):
		return bad(fmt.Errorf("--now and --kill-after %s exclude each other", c.String("kill-after")))
	case len(c.String("reason")) > 1024:
		return bad(fmt.Errorf("a reason of %d bytes is too long (at most 1024)", len(c.String("reason"))))
	}
	stop.Reason = c.String("reason")
	stop.By = fmt.Sprintf("%s@%s (pid %d)", nameOf(os.Getuid()), here(), os.Getpid())
	if c.Bool("now") {
		stop.KillAfter = new(time.Duration)
	}
	if c.IsSet("kill-after") {
		d, err := limiter.ParseDuration(c.String("kill-after"))
		if err != nil {
			return bad(fmt.Errorf("--kill-after: %w", err))
		}
		stop.KillAfter = &d
	}
	return ids, stop, nil
}

// stopAll stops what is named, all at the same time, for each may take its grace.
func stopAll(st *store, say *speaker, pool string, ids []string, stop lease.Stop) error {
	if pool != "" {
		pools, err := st.List(context.Background(), pool)
		if err != nil {
			return err
		}
		for _, e := range append(pools[0].Waiters, pools[0].Holders...) { // waiters first: none starts meanwhile
			if id := idOf(e); id != "" {
				ids = append(ids, id)
			} else {
				say.notef("cannot stop what has a record that cannot be read")
			}
		}
		if len(ids) == 0 {
			say.notef("pool %s has neither jobs nor waiters", pool)
		}
	}
	errs := make([]error, len(ids))
	var wg sync.WaitGroup
	for i, id := range ids {
		entry, err := st.Stop(context.Background(), id, stop)
		if err != nil {
			if pool == "" || !errors.Is(err, lease.ErrNotFound) { // one of a pool may have ended meanwhile
				errs[i] = err
			}
			continue
		}
		wg.Go(func() { errs[i] = st.enforce(entry, stop) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			say.explain(err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return said(err)
	}
	return nil
}

func idOf(e lease.Entry) string {
	if e.Lease != nil {
		return e.Lease.ID
	}
	return e.Ticket.ID
}

const (
	// patience is what a stop may take beyond the grace it was given.
	patience = 5 * time.Second
	// unwoken is how long a waiter may need that we cannot wake: another user's.
	unwoken = time.Minute
)

// enforce sees to it that a request to stop is followed, until neither the line
// nor a slot has the job any more: it wakes the owner, again and again, for it may
// not have listened yet, and ends the tree itself when the owner is gone.
func (st *store) enforce(e lease.Entry, stop lease.Stop) error {
	id := idOf(e)
	pool, _ := lease.PoolOf(id)
	end := time.Now().Add(unwoken)
	if e.Lease != nil {
		// One that nobody is there to end frees its slot when its lease has ended.
		end = time.Now().Add(graceOf(e.Lease, stop) + 3*e.Lease.Heartbeat + 2*e.Lease.TTL + patience)
	}
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		pools, err := st.List(context.Background(), pool)
		if err != nil {
			return err
		}
		e := entryOf(pools[0], id)
		switch {
		case e == nil:
			return nil
		case e.Ticket != nil && time.Now().After(end):
			return fmt.Errorf("waiter %s (pid %d on %s) does not react", id, e.Ticket.Owner.PID, e.Ticket.Owner.Host)
		case e.Ticket != nil:
			wake(e.Ticket.Owner)
		case (e.Lease.State == lease.Orphaned || e.Lease.Heartbeat == 0) && e.Lease.Child != nil && !st.remote && time.Now().Before(end):
			// Nobody is there to do it, or it is the command itself (--exec). Not by the
			// word of a server: it could name any process.
			if err := endOrphan(e.Lease, stop); err != nil {
				return err
			}
		case time.Now().After(end):
			return fmt.Errorf("job %s still has slot %s of pool %s: something that cannot be reached from here, or outlived its command, holds it", id, slotList(e.Lease.Slots), pool)
		case e.Lease.Heartbeat > 0:
			wake(e.Lease.Owner)
		}
		time.Sleep(pause)
	}
}

// graceOf is the time from the first signal to KILL.
func graceOf(l *lease.Lease, stop lease.Stop) time.Duration {
	if stop.KillAfter != nil {
		return *stop.KillAfter
	}
	return l.KillAfter
}

func endOrphan(l *lease.Lease, stop lease.Stop) error {
	return procwatch.EndOrphan(context.Background(), procwatch.ID(*l.Child), syscall.Signal(l.Signal), graceOf(l, stop))
}

func entryOf(p lease.Pool, id string) *lease.Entry {
	for _, e := range slices.Concat(p.Waiters, p.Holders) {
		if idOf(e) == id {
			return &e
		}
	}
	return nil
}
