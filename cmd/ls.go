package cmd

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"berth/lease"
)

func lsCommand() *cli.Command {
	return &cli.Command{
		Name:      "ls",
		Usage:     "Show who holds the slots of each pool, who waits, in which place, and why.",
		UsageText: "berth ls [flags] [POOL...]",
		Description: `Reading disturbs nobody. States: reserved (slot taken, command not started),
running, orphaned (its berth is gone, its command still runs), stalled (its
berth gives no sign of life; with a directory the slot stays taken), damaged
(its record cannot be read; the slot stays taken); of waiters: waiting, stopped
and kept (for its key), whom the others pass. The columns are slot or place,
state, time, user@host, pid of berth>command, lease, labels, command. A terminal
gets them cut to its width, with a mark (…) where something is left out; with -l
lines are broken instead. Anything else gets them whole.`,
		Flags: []cli.Flag{
			newBool(cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "also pools in which nothing runs and nobody waits"}),
			newBool(cli.BoolFlag{Name: "long", Aliases: []string{"l"}, Usage: "all that is known: token, use, directory, time limits, what each waits for"}),
			newBool(cli.BoolFlag{Name: "json", Usage: "print JSON; the README describes it"}),
			newBool(cli.BoolFlag{Name: "watch", Usage: "keep the screen up to date until interrupted; without a terminal, print again at every change"}),
			poolFlag("show this pool, instead of POOL"),
			storeFlag(""), ownerFlag(""),
		},
		Action: func(c *cli.Context) error {
			names, err := poolsNamed(c)
			if err != nil {
				return &usageError{err, "berth ls"}
			}
			say := newSpeaker(false, false)
			st, err := openStore(storeOf(c), false, say)
			if err != nil {
				return err
			}
			if _, err := os.Stat(st.where); errors.Is(err, fs.ErrNotExist) && storeOf(c).where != "" && !st.remote {
				say.notef("store %s does not exist yet", st.where) // or is a slip
			}
			l := &lister{
				store: st, say: say, pools: names,
				json: c.Bool("json"), all: c.Bool("all"), long: c.Bool("long"), out: os.Stdout,
			}
			if !c.Bool("watch") {
				st.minded()
				return l.once()
			}
			return l.watch()
		},
	}
}

// lister shows pools.
type lister struct {
	store           *store
	say             *speaker
	pools           []string // all, if none is named
	json, all, long bool
	out             io.Writer
}

// read looks at the pools. What could be read is there also with an error.
func (l *lister) read(ctx context.Context) ([]poolJSON, error) {
	found, err := l.store.List(ctx, l.pools...)
	pools := l.view(found)
	if len(l.pools) > 0 && !l.json { // to a program it is an idle one
		not := l.store.missing(ctx, found)
		for i := range pools {
			pools[i].missing = not[pools[i].Pool]
		}
	}
	return pools, err
}

func (l *lister) view(found []lease.Pool) []poolJSON {
	return view(found, l.store.Clock(), l.json || l.long, l.long && !l.json)
}

func (l *lister) once() error {
	if l.json {
		pools, err := l.read(context.Background())
		if err != nil && len(pools) == 0 { // an empty list would say that nobody runs
			return err
		}
		return errors.Join(err, writeJSON(l.out, pools))
	}
	found, err := l.store.List(context.Background(), l.pools...)
	if len(l.pools) > 0 { // to a program, and to who watches, one that is not there yet is an idle one
		there, none := l.store.known(context.Background(), found)
		found, err = there, errors.Join(err, none)
	}
	pools := l.view(found)
	if err != nil && len(pools) == 0 {
		return err
	}
	columns, _ := windowSize(1)
	return errors.Join(err, printLines(l.out, flat(l.table(pools, columns)), isTerminal(1) && os.Getenv("NO_COLOR") == ""))
}

// table is what people see of the pools, cut to so many columns; 0: whole.
func (l *lister) table(pools []poolJSON, columns int) []block {
	shown := pools
	if !l.all && len(l.pools) == 0 {
		shown = nil
		for _, p := range pools {
			if !p.idle() {
				shown = append(shown, p)
			}
		}
	}
	switch {
	case len(shown) > 0 && l.long:
		return longTable(shown, columns)
	case len(shown) > 0:
		return table(shown, columns)
	case len(pools) > 0:
		return []block{{head: []textLine{{text: "nothing runs and nobody waits (" + plural(len(pools), "idle pool") + ": berth ls -a)"}}}}
	}
	return []block{{head: []textLine{{text: "nothing runs and nobody waits: there is no pool yet"}}}}
}

// idle: there is nothing to tell of the pool. One that lets nobody start is not: it
// may have been forgotten so.
func (p *poolJSON) idle() bool {
	drained := p.OwnLimit != nil && *p.OwnLimit == 0
	return len(p.Holders)+len(p.Waiters) == 0 && !p.unread && p.LockHeld == "" && !drained
}

// textLine is a line of the screen, already cut and escaped, of which one part may
// have a colour.
type textLine struct {
	text     string
	color    string // "" none
	from, to int    // that part, in bytes
}

func (t textLine) paint(color bool) string {
	if !color || t.color == "" || t.to > len(t.text) {
		return t.text
	}
	return t.text[:t.from] + "\x1b[" + t.color + "m" + t.text[t.from:t.to] + "\x1b[0m" + t.text[t.to:]
}

// block is what is shown of one pool.
type block struct {
	head    []textLine
	jobs    [][]textLine
	holders int // so many of the jobs; the others wait
}

// flat are the lines of the blocks, with an empty one between two.
func flat(blocks []block) []textLine {
	var out []textLine
	for i, b := range blocks {
		if i > 0 {
			out = append(out, textLine{})
		}
		out = append(out, b.head...)
		for _, j := range b.jobs {
			out = append(out, j...)
		}
	}
	return out
}

func printLines(w io.Writer, lines []textLine, color bool) error {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.paint(color) + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
