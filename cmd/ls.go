package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"berth/cmd/open"
	"berth/cmd/storename"
	"berth/cmd/text"
	"berth/cmd/tty"
	"berth/cmd/view"
	"berth/cmd/words"
	"berth/lease"
	"berth/procwatch"
)

func ls(r words.Ls) error {
	say := newSpeaker(false, false)
	st, err := open.Open(r.Store, say.opening(false))
	if err != nil {
		return err
	}
	if _, err := os.Stat(st.Where); errors.Is(err, fs.ErrNotExist) && r.Store.Where != "" && !st.Remote {
		say.notef("store %s does not exist yet", st.Where) // or is a slip
	}
	l := &lister{store: st, say: say, pools: r.Pools, json: r.JSON, all: r.All, long: r.Long, out: os.Stdout}
	if r.Watch {
		return l.watch()
	}
	st.HandleSuspend()
	return l.once()
}

// lister shows pools.
type lister struct {
	store           *open.Store
	say             *speaker
	pools           []string // all, if none is named
	json, all, long bool
	out             io.Writer
}

// read reads the pools. With an error it still returns what could be read.
func (l *lister) read(ctx context.Context) ([]view.Pool, error) {
	found, err := l.store.List(ctx, l.pools...)
	pools := l.view(found)
	if len(l.pools) > 0 && !l.json { // a program gets an idle pool
		not, _, unread := missing(ctx, l.store, found)
		for i := range pools {
			pools[i].Missing = unread == nil && slices.Contains(not, pools[i].Pool)
		}
	}
	return pools, err
}

func (l *lister) view(found []lease.Pool) []view.Pool {
	s := view.Sources{Now: l.store.Clock(), Flags: words.Flags}
	if l.json || l.long {
		s.Usage = usage(found)
	}
	if l.long && !l.json {
		s.Dir = procwatch.ID.Dir
	}
	return view.Pools(found, s)
}

// usage is the CPU and memory of the jobs' processes, as far as they can be seen from here.
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
		if err != nil && len(pools) == 0 { // an empty list would mean that nothing runs
			return err
		}
		return errors.Join(err, view.WriteJSON(l.out, pools))
	}
	found, err := l.store.List(context.Background(), l.pools...)
	if len(l.pools) > 0 { // for a program, and with --watch, a missing pool is an idle one
		there, none := known(context.Background(), l.store, found)
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
	blocks := view.Table(pools, l.all || len(l.pools) > 0, l.long, columns)
	if l.long || l.store.From == storename.MachineFile { // which the user may not know of
		blocks = append(blocks, view.Note(storeAndWhy(l.store), columns))
	}
	return blocks
}

// storeAndWhy says which store is used, and what names it.
func storeAndWhy(st *open.Store) string {
	switch st.From {
	case "", "--user-store":
		return fmt.Sprintf("store %s, the default of %s", st.Shown(), text.UserName(os.Geteuid()))
	}
	return fmt.Sprintf("store %s, as %s says", st.Shown(), st.From)
}
