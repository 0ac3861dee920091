package cmd

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"berth/cmd/open"
	"berth/cmd/text"
	"berth/cmd/view"
	"berth/cmd/words"
	"berth/lease"
	"berth/limiter/gate"
)

func probeCommand(result *int) *cli.Command {
	return &cli.Command{
		Name:      "probe",
		Usage:     "Show what the gates read of this machine, and what they say.",
		UsageText: "berth probe [flags]",
		Description: `Asks the gates that are given, and those of the pool's own settings, once, as
'berth run' does for the head of the line. Exit code 0 when all are open, 75
when one is closed. No job is started and no slot taken; a --gate command runs.`,
		Flags: append([]cli.Flag{
			words.NewString(cli.StringFlag{Name: "pool", Aliases: []string{"p"}, Value: "default", Usage: "`NAME` with the own settings of this pool, and the needs of its jobs (default: default)"}),
			words.NewNumber(cli.StringFlag{Name: "slots", Aliases: []string{"n"}, Usage: "`auto` with the gates of -n auto"}),
			words.NewBool(cli.BoolFlag{Name: "json", Usage: "print JSON; the README describes it"}),
			words.StoreFlag(""), words.OwnerFlag(""),
		}, words.GateFlags()...),
		Action: func(c *cli.Context) error {
			st, a, mine, err := parseProbe(c)
			if err != nil {
				return err
			}
			found, err := probeMachine(st, a, mine)
			if err != nil {
				return err
			}
			if !found.Open {
				*result = codeBusy
			}
			if c.Bool("json") {
				return text.WriteJSON(os.Stdout, found)
			}
			return view.WriteProbe(os.Stdout, found)
		},
	}
}

func parseProbe(c *cli.Context) (*open.Store, *asker, words.Terms, error) {
	p := words.FlagParser{C: c}
	mine := p.Terms(words.Terms{})
	if c.String("slots") == "auto" {
		mine, _ = p.Auto(mine)
	} else {
		if c.IsSet("slots") {
			p.Check("slots", fmt.Errorf("%q is no gate; only auto is", c.String("slots")))
		}
		p.OnlyAuto("a gate alone")
	}
	p.Agree(mine, 0)
	p.Check("pool", lease.CheckPool(c.String("pool")))
	if c.NArg() > 0 && p.Err == nil {
		p.Err = fmt.Errorf("takes flags only; got %s", text.Plural(c.NArg(), "argument"))
		if lease.CheckPool(c.Args().First()) == nil {
			p.Err = words.Hinted(p.Err, "berth probe -p "+c.Args().First()+", if that is a pool")
		}
	}
	if p.Err != nil {
		return nil, nil, mine, words.Mistake(p.Err, "berth probe")
	}
	say := newSpeaker(false, false)
	st, err := open.Open(words.StoreOf(c), say.opening(false))
	if err != nil {
		return nil, nil, mine, err
	}
	st.HandleSuspend()
	return st, newAsker(st, lease.Request{Pool: c.String("pool"), Weight: 1, Conditions: mine.Pack()}, say), mine, nil
}

// measureAtMost ends a probe whose CPU counters stand still.
const measureAtMost = 5 * time.Second

func probeMachine(st *open.Store, a *asker, mine words.Terms) (*view.Probe, error) {
	ctx := context.Background()
	pool, err := st.Summary(ctx, a.request.Pool, lease.Ticket{})
	if err != nil {
		return nil, err
	}
	v := lease.Verdict{Own: pool.Own, Used: pool.Used, SinceStart: -1}
	if last := pool.Starts.Last; last > 0 && last <= st.Clock() {
		v.SinceStart = st.Clock().Sub(last)
	}
	if pool.Limit != nil {
		v.Limit = *pool.Limit
	}
	for _, g := range []string{pool.Own.Gates, a.request.Gates} {
		if g != "" && !slices.Contains(v.Gates, g) {
			v.Gates = append(v.Gates, g)
		}
	}
	q, err := a.question(v, &pool)
	if err != nil {
		return nil, err
	}
	if err := a.gate.Check(q); err != nil {
		return nil, err
	}
	q.All = true
	said := a.gate.Ask(ctx, q)
	for end := time.Now().Add(measureAtMost); said.Measuring && time.Now().Before(end); {
		asked := time.Now()
		time.Sleep(said.Again)
		if q.SinceStart >= 0 {
			q.SinceStart += time.Since(asked)
		}
		if said.Share != nil {
			q.Shared = said.Share
		}
		said = a.gate.Ask(ctx, q)
	}
	out := &view.Probe{Pool: a.request.Pool, Open: true, Gates: []gate.Verdict{}, Readings: said.Readings}
	out.Gates = append(append(out.Gates, said.Verdicts...), paceVerdicts(&pool, mine, st.Clock())...)
	for i, g := range out.Gates {
		t := mine.Conditions
		if g.From == "pool" {
			t = pool.Own.Conditions
		}
		if pool.Used < t.MinSlots && g.Gate != "rate" {
			out.Gates[i].Says += fmt.Sprintf("; not asked with %d in use, --min-slots %d", pool.Used, t.MinSlots)
			continue
		}
		out.Open = out.Open && g.Open
	}
	return out, nil
}
