package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"berth/cmd/open"
	"berth/cmd/view"
	"berth/cmd/words"
	"berth/lease"
)

func stopCommand() *cli.Command {
	return &cli.Command{
		Name:      "stop",
		Usage:     "End jobs with all their processes, and send waiters away.",
		UsageText: "berth stop [flags] LEASE...\nberth stop [flags] [--pool POOL] [--label K=V...]",
		Description: `A job is ended by its own berth: a signal to the whole tree, a grace, KILL.
A waiter leaves the line with exit code 75. An orphan's tree is ended from
here. Returns when they are gone. LEASE is what 'berth ls' shows, as much of
its beginning as is unique, its hex part or 4 and more digits of that, or a pid,
of a berth or its command here. For one that is not known the exit code is 1;
for one that may be several it is 125, and nothing is stopped. A command that
ends with 0 when it is stopped gives 128+n, with n the signal it was sent first.`,
		Flags: []cli.Flag{
			words.PoolFlag("stop all jobs and waiters of this pool"),
			words.NewList(cli.StringSliceFlag{Name: "label", Usage: "`K=V` stop all with this label, of the pool if one is named; repeatable: with each of them"}),
			words.NewNumber(cli.StringFlag{Name: "kill-after", Usage: "`D` KILL so long after the first signal (default: the job's own)"}),
			words.NewBool(cli.BoolFlag{Name: "now", Usage: "KILL at once"}),
			words.NewString(cli.StringFlag{Name: "reason", Usage: "`TEXT` have the job's berth say this"}),
			words.StoreFlag(""), words.OwnerFlag(""),
		},
		Action: func(c *cli.Context) error {
			who, stop, err := parseStop(c)
			if err != nil {
				return err
			}
			say := newSpeaker(false, false)
			st, err := open.Open(words.StoreOf(c), say.opening(false))
			if err != nil {
				return err
			}
			st.HandleSuspend()
			ids, unknown, err := ids(st, context.Background(), who)
			if err != nil {
				return err
			}
			if len(ids) == 0 && len(who.Words) == 0 {
				say.notef("%s", who.None())
			}
			return stopAll(st, say, ids, unknown, len(who.Words) == 0, stop)
		},
	}
}

func parseStop(c *cli.Context) (words.Choice, lease.Stop, error) {
	var stop lease.Stop
	p := words.FlagParser{C: c}
	who := words.Choice{Words: c.Args().Slice(), Pool: c.String("pool"), Labels: p.Labels("label")}
	bad := func(err error) (words.Choice, lease.Stop, error) { return who, stop, words.Mistake(err, "berth stop") }
	switch {
	case p.Err != nil:
		return bad(p.Err)
	case (c.IsSet("pool") || c.IsSet("label")) == (len(who.Words) > 0):
		return bad(errors.New("name either LEASE..., or --pool POOL or --label K=V or both"))
	case c.IsSet("pool") && lease.CheckPool(who.Pool) != nil:
		return bad(lease.CheckPool(who.Pool))
	case c.Bool("now") && c.IsSet("kill-after"):
		return bad(fmt.Errorf("--now and --kill-after %s exclude each other", c.String("kill-after")))
	}
	stop.Reason = c.String("reason")
	stop.By = fmt.Sprintf("%s@%s (pid %d)", view.UserName(os.Getuid()), view.Host(), os.Getpid())
	if c.Bool("now") {
		stop.KillAfter = new(time.Duration)
	}
	if c.IsSet("kill-after") {
		d, err := words.ParseDuration(c.String("kill-after"))
		if err != nil {
			return bad(fmt.Errorf("--kill-after: %w", err))
		}
		stop.KillAfter = &d
	}
	if err := stopMessage(stop).Check(); err != nil {
		return bad(err)
	}
	return who, stop, nil
}

func stopMessage(s lease.Stop) lease.Message { return lease.Message{Kind: lease.MessageStop, Stop: s} }

// stopAll stops these, all at the same time, for each may take its grace; errs is what
// went wrong before. With gone, one may have ended meanwhile.
func stopAll(st *open.Store, say *speaker, ids []string, errs []error, gone bool, stop lease.Stop) error {
	var asked []lease.Entry
	for _, id := range ids {
		if id == "" {
			say.notef("cannot stop a job whose record cannot be read")
			continue
		}
		ctx, cancel := asking(st)
		entry, err := st.Tell(ctx, id, stopMessage(stop))
		cancel()
		switch {
		case err == nil && entry.Lease != nil && entry.Lease.State == lease.Damaged:
			say.notef("%s is asked to end, and not waited for: its record cannot be read (berth ls says how to remove it)", id)
		case err == nil:
			asked = append(asked, entry)
		case gone && errors.Is(err, lease.ErrNotFound):
		default:
			errs = append(errs, err)
		}
	}
	errs = append(errs, enforce(st, asked, stop)...)
	for _, err := range errs {
		say.explain(err)
	}
	if err := errors.Join(errs...); err != nil {
		return said(err)
	}
	return nil
}
