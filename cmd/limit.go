package cmd

import (
	"context"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"berth/lease"
	"berth/limiter"
)

func limitCommand() *cli.Command {
	return &cli.Command{
		Name:      "limit",
		Usage:     "Show, set or remove a pool's own limit, which holds for every caller.",
		UsageText: "berth limit [flags] POOL [N|none]",
		Description: `0 drains the pool: nobody new starts, nobody is ended. A caller's -n still
counts when it is smaller. Waiters see a new limit at once.`,
		Flags: []cli.Flag{storeFlag("")},
		Action: func(c *cli.Context) error {
			pool, want := c.Args().Get(0), c.Args().Get(1)
			if c.NArg() < 1 || c.NArg() > 2 {
				return usagef("berth limit", "takes POOL, or POOL and N or none; got %s", plural(c.NArg(), "argument"))
			}
			if err := lease.CheckPool(pool); err != nil {
				return &usageError{err, "berth limit"}
			}
			var limit *int
			if c.NArg() == 2 && want != "none" {
				n, err := limiter.ParseCount(want, "a limit", 0, limiter.MaxSlots, ", or none")
				if err != nil {
					return &usageError{err, "berth limit"}
				}
				limit = &n
			}
			st, err := openStore(storeOf(c), limit != nil, newSpeaker(false, false))
			if err != nil {
				return err
			}
			st.minded()
			switch {
			case limit != nil:
				return st.SetLimit(context.Background(), pool, limit)
			case want == "none":
				return dropLimit(st, pool)
			default:
				return showLimit(st, pool)
			}
		},
	}
}

// dropLimit makes no pool for it.
func dropLimit(st *store, pool string) error {
	p, err := st.Summary(context.Background(), pool, lease.Ticket{})
	if err == nil && p.Own == nil {
		return nil
	}
	return st.SetLimit(context.Background(), pool, nil) // also one that cannot be read
}

func showLimit(st *store, pool string) error {
	p, err := st.Summary(context.Background(), pool, lease.Ticket{})
	switch {
	case err != nil:
		return err
	case p.Own == nil:
		_, err = fmt.Fprintln(os.Stdout, "none")
	default:
		_, err = fmt.Fprintln(os.Stdout, *p.Own)
	}
	return err
}
