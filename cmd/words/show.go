package words

import (
	"fmt"

	"berth/cmd/storename"
	"berth/lease"
)

// Ls is what 'berth ls' shows.
type Ls struct {
	Store                  storename.Spec
	Pools                  []string // none: all
	All, Long, JSON, Watch bool
}

func lsCommand() Command {
	return Command{
		Name:     "ls",
		Usage:    "Show who holds the slots of each pool, who waits, in which place, and why.",
		Synopsis: "berth ls [flags] [POOL...]",
		Description: `States of jobs: reserved (its slots are taken, and no command runs: it has not
started, or berth acquire keeps them), running, orphaned (its berth is gone, its
command still runs), stalled (its berth writes no heartbeats; with a directory
the slot stays taken), damaged (its record cannot be read; the slot stays
taken). States of waiters: waiting; stopped, and kept for a --ticket, which the
others pass.

The columns are slot or place, state, time, user@host, pid of berth>command,
lease, labels, command. A slot that berth limit --names has named has its name
behind its number. [In brackets] at the end of a line: the last berth keepalive
--note, what is wrong with the job, or what a run of several pools holds already
and still waits for. On a terminal the columns are cut to its width, with …
where something is left out; -l breaks the lines instead.`,
		Flags: []Flag{
			{Name: "all", Short: "a", Kind: Switch, Usage: "also show idle pools"},
			{Name: "long", Short: "l", Kind: Switch, Usage: "show all that is known: token, use, directory, time limits, what each waits for"},
			{Name: "json", Kind: Switch, Usage: "print JSON, see berth help json"},
			{Name: "watch", Kind: Switch, Usage: "keep the screen up to date until interrupted; without a terminal, print again after every change"},
			poolFlag("show this pool, in place of POOL"),
			storeFlag(""), ownerFlag(""), userStoreFlag(""),
		},
		parse: func(p *parser) any {
			return Ls{Store: p.store(), Pools: p.pools(), All: p.on("all"), Long: p.on("long"), JSON: p.on("json"), Watch: p.on("watch")}
		},
	}
}

// Probe is a look at the machine with gates.
type Probe struct {
	Store      storename.Spec
	Pool       string
	Conditions lease.Conditions // those that were typed
	Ramp       bool             // --ramp was typed
	JSON       bool
}

func probeCommand() Command {
	return Command{
		Name:     "probe",
		Usage:    "Show this machine's readings, and which gates are open.",
		Synopsis: "berth probe [flags]",
		Description: `Checks the given gates and those of the pool's own settings once, as 'berth run'
does for the head of the line. Exit code 0 when all are open, 75 when one is
closed. A gate that reads the machine brings a --ramp of 1s, unless you set it.
No job starts and no slot is taken, but a --gate command runs.`,
		Flags: append([]Flag{
			{Name: "pool", Short: "p", Value: "NAME", Default: "default", Usage: "with this pool's own settings and the needs of its jobs (default: default)"},
			{Name: "slots", Short: "n", Value: "auto", Kind: Number, Usage: "with the gates of -n auto"},
			{Name: "json", Kind: Switch, Usage: "print JSON, see berth help json"},
			storeFlag(""), ownerFlag(""), userStoreFlag(""),
		}, gateFlags()...),
		parse: func(p *parser) any { return p.probe() },
	}
}

func (p *parser) probe() Probe {
	mine := p.conditions(conditions{})
	if p.text("slots") == "auto" {
		mine, _ = p.auto(mine)
	} else {
		if p.isSet("slots") {
			p.check("slots", fmt.Errorf("%q is not valid: only auto stands for gates", p.text("slots")))
		}
		p.onlyAuto("a gate alone")
	}
	p.checkConditions(mine, 0)
	p.check("pool", lease.CheckPool(p.text("pool")))
	if operands := p.operands(); len(operands) > 0 {
		err := fmt.Errorf("unexpected argument %q: berth probe takes only flags", operands[0])
		if lease.CheckPool(operands[0]) == nil {
			err = Hinted(err, "berth probe -p "+operands[0]+", if that is a pool")
		}
		p.fail(err)
	}
	return Probe{Store: p.store(), Pool: p.text("pool"), Conditions: mine.pack(), Ramp: p.isSet("ramp"), JSON: p.on("json")}
}
