package cmd

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/urfave/cli/v2"

	"berth/cmd/open"
	"berth/cmd/tty"
	"berth/cmd/view"
	"berth/cmd/words"
	"berth/lease"
	"berth/procwatch"
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
			words.NewBool(cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "also pools in which nothing runs and nobody waits"}),
			words.NewBool(cli.BoolFlag{Name: "long", Aliases: []string{"l"}, Usage: "all that is known: token, use, directory, time limits, what each waits for"}),
			words.NewBool(cli.BoolFlag{Name: "json", Usage: "print JSON; the README describes it"}),
			words.NewBool(cli.BoolFlag{Name: "watch", Usage: "keep the screen up to date until interrupted; without a terminal, print again at every change"}),
			words.PoolFlag("show this pool, instead of POOL"),
			words.StoreFlag(""), words.OwnerFlag(""),
		},
		Action: func(c *cli.Context) error {
			names, err := words.PoolsNamed(c)
			if err != nil {
				return words.Mistake(err, "berth ls")
			}
			say := newSpeaker(false, false)
			st, err := open.Open(words.StoreOf(c), say.opening(false))
			if err != nil {
				return err
			}
			if _, err := os.Stat(st.Where); errors.Is(err, fs.ErrNotExist) && words.StoreOf(c).Where != "" && !st.Remote {
				say.notef("store %s does not exist yet", st.Where) // or is a slip
			}
			l := &lister{
				store: st, say: say, pools: names,
				json: c.Bool("json"), all: c.Bool("all"), long: c.Bool("long"), out: os.Stdout,
			}
			if !c.Bool("watch") {
				st.HandleSuspend()
				return l.once()
			}
			return l.watch()
		},
	}
}

// lister shows pools.
type lister struct {
	store           *open.Store
	say             *speaker
	pools           []string // all, if none is named
	json, all, long bool
	out             io.Writer
}

// read looks at the pools. What could be read is there also with an error.
func (l *lister) read(ctx context.Context) ([]view.Pool, error) {
	found, err := l.store.List(ctx, l.pools...)
	pools := l.view(found)
	if len(l.pools) > 0 && !l.json { // to a program it is an idle one
		not := missing(l.store, ctx, found)
		for i := range pools {
			pools[i].Missing = not[pools[i].Pool]
		}
	}
	return pools, err
}

func (l *lister) view(found []lease.Pool) []view.Pool {
	s := view.Sources{Now: l.store.Clock(), Flags: words.FlagsOf}
	if l.json || l.long {
		s.Usage = usage(found)
	}
	if l.long && !l.json {
		s.Dir = procwatch.ID.Dir
	}
	return view.Pools(found, s)
}

// usage is what the jobs' processes use, as far as that is seen from here.
func usage(pools []lease.Pool) map[procwatch.ID]procwatch.Usage {
	var children []procwatch.ID
	for _, p := range pools {
		for _, h := range p.Holders {
			if h.Lease.Child != nil {
				children = append(children, procwatch.ID(*h.Lease.Child))
			}
		}
	}
	used, _ := procwatch.TreeUsage(children...) // what cannot be seen is not shown
	return used
}

func (l *lister) once() error {
	if l.json {
		pools, err := l.read(context.Background())
		if err != nil && len(pools) == 0 { // an empty list would say that nobody runs
			return err
		}
		return errors.Join(err, view.WriteJSON(l.out, pools))
	}
	found, err := l.store.List(context.Background(), l.pools...)
	if len(l.pools) > 0 { // to a program, and to who watches, one that is not there yet is an idle one
		there, none := known(l.store, context.Background(), found)
		found, err = there, errors.Join(err, none)
	}
	pools := l.view(found)
	if err != nil && len(pools) == 0 {
		return err
	}
	columns, _ := tty.WindowSize(1)
	return errors.Join(err, view.Print(l.out, view.Flat(l.table(pools, columns)), tty.IsTerminal(1) && os.Getenv("NO_COLOR") == ""))
}

func (l *lister) table(pools []view.Pool, columns int) []view.Block {
	return view.Table(pools, l.all || len(l.pools) > 0, l.long, columns)
}
