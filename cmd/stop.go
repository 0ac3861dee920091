package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"berth/lease"
	"berth/limiter"
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
	var asked []lease.Entry
	var errs []error
	for _, id := range ids {
		ctx, cancel := st.asking()
		entry, err := st.Stop(ctx, id, stop)
		cancel()
		switch {
		case err == nil:
			asked = append(asked, entry)
		case pool != "" && errors.Is(err, lease.ErrNotFound): // it has ended meanwhile
		default:
			errs = append(errs, err)
		}
	}
	errs = append(errs, st.enforce(asked, stop)...)
	for _, err := range errs {
		say.explain(err)
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
