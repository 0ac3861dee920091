package cmd

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

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
			newString(cli.StringFlag{Name: "pool", Aliases: []string{"p"}, Value: "default", Usage: "`NAME` with the own settings of this pool, and the needs of its jobs (default: default)"}),
			newNumber(cli.StringFlag{Name: "slots", Aliases: []string{"n"}, Usage: "`auto` with the gates of -n auto"}),
			newBool(cli.BoolFlag{Name: "json", Usage: "print JSON; the README describes it"}),
			storeFlag(""), ownerFlag(""),
		}, gateFlags()...),
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
				return encodeJSON(os.Stdout, found)
			}
			return writeProbe(os.Stdout, found)
		},
	}
}

func parseProbe(c *cli.Context) (*store, *asker, terms, error) {
	p := flagParser{c: c}
	mine := p.terms(terms{})
	if c.String("slots") == "auto" {
		mine, _ = p.auto(mine)
	} else {
		if c.IsSet("slots") {
			p.check("slots", fmt.Errorf("%q is no gate; only auto is", c.String("slots")))
		}
		p.onlyAuto("a gate alone")
	}
	p.agree(mine, 0)
	p.check("pool", lease.CheckPool(c.String("pool")))
	if c.NArg() > 0 && p.err == nil {
		p.err = fmt.Errorf("takes flags only; got %s", plural(c.NArg(), "argument"))
		if lease.CheckPool(c.Args().First()) == nil {
			p.err = &hintedError{p.err, "berth probe -p " + c.Args().First() + ", if that is a pool"}
		}
	}
	if p.err != nil {
		return nil, nil, mine, &usageError{p.err, "berth probe"}
	}
	say := newSpeaker(false, false)
	st, err := openStore(storeOf(c), false, say)
	if err != nil {
		return nil, nil, mine, err
	}
	st.minded()
	return st, newAsker(st, lease.Request{Pool: c.String("pool"), Weight: 1, Conditions: mine.pack()}, say), mine, nil
}

// probeJSON is the stable schema of 'berth probe --json'.
type probeJSON struct {
	Pool     string         `json:"pool"`
	Open     bool           `json:"open"`
	Gates    []gate.Verdict `json:"gates"`
	Readings gate.Readings  `json:"readings"`
}

// measureAtMost ends a probe whose CPU counters stand still.
const measureAtMost = 5 * time.Second

func probeMachine(st *store, a *asker, mine terms) (*probeJSON, error) {
	ctx := context.Background()
	pool, err := st.Summary(ctx, a.request.Pool, lease.Ticket{})
	if err != nil {
		return nil, err
	}
	v := lease.Verdict{Own: pool.Own, Used: pool.Used, SinceStart: -1}
	if last := pool.Starts.Last; last > 0 && last <= st.Clock() {
		v.SinceStart = st.Clock() - last
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
	out := &probeJSON{Pool: a.request.Pool, Open: true, Gates: []gate.Verdict{}, Readings: said.Readings}
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

// writeProbe prints for people.
func writeProbe(w io.Writer, p *probeJSON) error {
	var b strings.Builder
	row := func(what, of, format string, args ...any) {
		fmt.Fprintf(&b, "%-14s %-24s %s\n", what, shorten(oneLine(of), 40), fmt.Sprintf(format, args...))
	}
	r := p.Readings
	for _, l := range r.CPU {
		if l.Used == nil {
			row("cpu", l.Of, "not known, of %.3g CPUs", l.CPUs)
			continue
		}
		row("cpu", l.Of, "%.0f%% of %.3g CPUs busy", 100**l.Used/l.CPUs, l.CPUs)
	}
	for _, l := range r.Mem {
		row("memory", l.Of, "%.0f%% of %s in use, %s available", 100*float64(l.Used)/float64(l.Total), gate.Bytes(l.Total), gate.Bytes(l.Available))
	}
	if r.Load != nil {
		row("load", "host", "%.2f, %.2f per CPU", r.Load.Load1, r.Load.PerCPU)
	}
	for _, k := range slices.Sorted(maps.Keys(r.Pressure)) {
		row("pressure", "host, "+k, "%.2f%% of the last 10 s", r.Pressure[k])
	}
	for _, d := range r.Disk {
		row("disk", d.Path, "%s free", gate.Bytes(d.Free))
	}
	for _, k := range slices.Sorted(maps.Keys(r.Errors)) {
		row("not readable", k, "%s", oneLine(r.Errors[k]))
	}
	for _, g := range p.Gates {
		state := "open"
		if !g.Open {
			state = "closed"
		}
		name := "--" + g.Gate
		if g.From != "" {
			name += " (" + g.From + ")"
		}
		fmt.Fprintf(&b, "%-14s %-24s %s\n", state, name, oneLine(g.Says))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
