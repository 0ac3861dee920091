package cmd

import (
	"context"

	"github.com/urfave/cli/v2"

	"berth/cmd/open"
	"berth/cmd/text"
	"berth/cmd/view"
	"berth/cmd/words"
	"berth/lease"
)

func heldCommand(result *int) *cli.Command {
	return &cli.Command{
		Name:      "held",
		Usage:     "Exit with 0 if called from inside a job that still holds its slot in POOL.",
		UsageText: "berth held [flags] POOL",
		Description: `Exit code 0 only inside such a job, 1 outside, 125 when that cannot be told.
Processes are asked, not BERTH_POOL: a variable outlives the job, in what the
job leaves behind. What --on-busy run starts without a slot is outside.

At the top of a script that must not run twice at once (bash "$0" for bash):
  pool=nightly
  berth held "$pool" || exec berth run -n 1 -p "$pool" -- sh "$0" "$@"
Name the pool once: with two names the script would start itself without end.`,
		Flags: []cli.Flag{
			words.StoreFlag(""), words.OwnerFlag(""),
			words.NewBool(cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "say which job it is, or why it is none [$BERTH_VERBOSE]"}),
		},
		Action: func(c *cli.Context) error {
			st, say, err := parseHeld(c)
			if err != nil {
				return err
			}
			*result, err = held(st, say, c.Args().First())
			return err
		},
	}
}

func parseHeld(c *cli.Context) (*open.Store, *speaker, error) {
	p := words.FlagParser{C: c}
	say := newSpeaker(false, p.Switched("verbose"))
	if c.NArg() != 1 {
		return nil, nil, words.Usagef("berth held", "takes one POOL, got %d", c.NArg())
	}
	if p.Err == nil {
		p.Err = lease.CheckPool(c.Args().First())
	}
	if p.Err != nil {
		return nil, nil, words.Mistake(p.Err, "berth held")
	}
	st, err := open.Open(words.StoreOf(c), say.opening(false))
	return st, say, err
}

// held says no only when it is one: with any doubt there is an error, and who runs
// 'berth run' after that has the same one.
func held(st *open.Store, say *speaker, name string) (int, error) {
	pool, err := st.HandleSuspend().Summary(context.Background(), name, lease.Ticket{})
	if err != nil {
		return codeFailed, err
	}
	switch l, err := around(st, pool); {
	case err != nil:
		return codeFailed, err
	case l != nil:
		say.verbosef("inside job %s, which holds slot %s of pool %s in store %s", l.ID, view.SlotList(l.Slots), name, st.Shown())
		return codeOK, nil
	}
	say.verbosef("not inside a job of pool %s in store %s (it has %s)", name, st.Shown(), text.Plural(len(pool.Holders), "job"))
	return codeNo, nil
}
