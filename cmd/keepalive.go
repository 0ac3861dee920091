package cmd

import (
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"berth/cmd/open"
	"berth/cmd/words"
	"berth/lease"
)

func keepaliveCommand() *cli.Command {
	return &cli.Command{
		Name:      "keepalive",
		Usage:     "Reset the idle clock of a job, so that its --idle-timeout starts again.",
		UsageText: "berth keepalive [flags] [LEASE]",
		Description: `Without LEASE it is the job this runs in ($BERTH_LEASE); else LEASE is what
'berth stop' takes.`,
		Flags: []cli.Flag{words.StoreFlag(""), words.OwnerFlag("")},
		Action: func(c *cli.Context) error {
			id, named := os.Getenv("BERTH_LEASE"), c.NArg() > 0
			switch {
			case c.NArg() > 1:
				return words.Usagef("berth keepalive", "takes one LEASE at most, got %d", c.NArg())
			case !named && id == "":
				return words.Mistake(words.Hinted(errors.New("no LEASE named, and BERTH_LEASE is not set: this does not run in a job of berth"),
					"berth ls shows the leases: berth keepalive LEASE"), "berth keepalive")
			}
			st, err := open.Open(words.StoreOf(c), newSpeaker(false, false).opening(false))
			if err != nil {
				return err
			}
			st.HandleSuspend()
			ctx, cancel := asking(st)
			defer cancel()
			if named {
				id, err = one(st, ctx, c.Args().First())
			} else if !words.IsID(id) {
				err = fmt.Errorf("BERTH_LEASE: %q is not a lease id: %w", id, lease.ErrNotFound)
			}
			if err != nil {
				return err
			}
			_, err = st.Tell(ctx, id, lease.Message{Kind: lease.MessageKeepalive})
			return err
		},
	}
}
