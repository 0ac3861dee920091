package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
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
			newString(cli.StringFlag{Name: "pool", Aliases: []string{"p"}, Usage: "`POOL` all its jobs and waiters"}),
			newString(cli.StringFlag{Name: "kill-after", Usage: "`D` from the first signal to KILL (default: the job's own)"}),
			newBool(cli.BoolFlag{Name: "now", Usage: "KILL at once"}),
			newString(cli.StringFlag{Name: "reason", Usage: "`TEXT` for the message of the job's berth"}),
			storeFlag(""),
		},
		Action: func(c *cli.Context) error {
			ids, stop, err := parseStop(c)
			if err != nil {
				return err
			}
			say := newSpeaker(false, false)
			st, err := openStore(c.String("store"), false, say)
			if err != nil {
				return err
			}
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
	stop.By = fmt.Sprintf("%s (pid %d)", nameOf(os.Getuid()), os.Getpid())
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
			}
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

// enforce sees to it that a request to stop is followed: it wakes the owner,
// or ends the tree itself when the owner is gone.
func (st *store) enforce(e lease.Entry, stop lease.Stop) error {
	kill := 10 * time.Second
	if stop.KillAfter != nil {
		kill = *stop.KillAfter
	}
	var owner lease.Process
	switch {
	case e.Ticket != nil:
		owner = e.Ticket.Owner
	case e.Lease.State == lease.Orphaned || e.Lease.Heartbeat == 0: // nobody there, or the command itself (--exec)
		if e.Lease.Child == nil {
			return fmt.Errorf("job %s left no child to end; something that inherited slot %d of pool %s keeps it", e.Lease.ID, e.Lease.Slots[0], e.Lease.Pool)
		}
		return procwatch.EndOrphan(context.Background(), procwatch.ID(*e.Lease.Child), syscall.SIGTERM, kill)
	default:
		owner = e.Lease.Owner
	}
	wake(owner)
	return st.untilGone(idOf(e), owner)
}

// untilGone waits until neither the line nor a slot has id any more. The
// owner reads the request with its next heartbeat even where we cannot wake it.
func (st *store) untilGone(id string, owner lease.Process) error {
	pool, _ := lease.PoolOf(id)
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		pools, err := st.List(context.Background(), pool)
		if err != nil {
			return err
		}
		there := false
		for _, e := range append(pools[0].Waiters, pools[0].Holders...) {
			if idOf(e) == id {
				there = true
				if e.Lease != nil && e.Lease.State == lease.Orphaned && e.Lease.Child != nil {
					return procwatch.EndOrphan(context.Background(), procwatch.ID(*e.Lease.Child), syscall.SIGKILL, 0)
				}
			}
		}
		if !there {
			return nil
		}
		time.Sleep(pause)
	}
}
