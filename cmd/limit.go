package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"berth/cmd/gates"
	"berth/cmd/open"
	"berth/cmd/text"
	"berth/cmd/tty"
	"berth/cmd/view"
	"berth/cmd/words"
	"berth/lease"
)

func limit(l *words.Limit) error {
	say := newSpeaker(false, false)
	st, err := open.Open(l.Store, say.opening(l.Sets()))
	if err != nil {
		return err
	}
	if st.Remote {
		if err := l.OnServer(); err != nil {
			return err
		}
	}
	st.HandleSuspend()
	if err := newAsker(st, lease.Request{Pool: l.Pool, Conditions: l.Conditions()}, nil).Check(); err != nil {
		return err // every caller would get it
	}
	switch {
	case !l.Changes():
		if err := showLimit(st, l.Pool); err != nil {
			return err
		}
		return noteNone(st, say, l.Pool)
	case !l.Sets() && nothingSet(st, l.Pool):
		// No pool is created for that.
		if err := l.CheckReason(); err != nil {
			return err
		}
		return noteNone(st, say, l.Pool)
	}
	if l.Names() {
		p, err := st.Summary(context.Background(), l.Pool, lease.Ticket{})
		if err == nil {
			err = l.CheckNames(p.Holders)
		}
		if err != nil {
			return err
		}
	}
	return st.Set(context.Background(), l.Pool, func(old lease.Settings, err error) (lease.Settings, error) {
		return change(l, old, err)
	})
}

// change applies l to the settings that were.
func change(l *words.Limit, old lease.Settings, err error) (lease.Settings, error) {
	own, err := l.Change(old, err, func(own lease.Settings) error { return gates.Trusted(l.Pool, own, text.UserName) })
	switch {
	case err != nil || own.None():
		return own, err
	case l.Clear:
		return noted(own, nil, l.Reason()), nil
	}
	return noted(own, old.Limit, l.Reason()), nil
}

// nothingSet reports whether a pool has no settings. Settings that cannot be read count as some.
func nothingSet(st *open.Store, pool string) bool {
	p, err := st.Summary(context.Background(), pool, lease.Ticket{})
	return err == nil && p.Own.None()
}

// noteNone prints a note if the pool does not exist: its name may be mistyped.
func noteNone(st *open.Store, say *speaker, pool string) error {
	p, err := st.Summary(context.Background(), pool, lease.Ticket{})
	if err != nil {
		return err
	}
	var hinted *words.HintedError
	_, err = known(context.Background(), st, []lease.Pool{p})
	switch {
	case errors.As(err, &hinted):
		say.notef("%v: %s", err, hinted.Next)
	case errors.Is(err, lease.ErrNotFound):
		say.notef("%v", err)
	default:
		return err
	}
	return nil
}

func showLimit(st *open.Store, pool string) error {
	p, err := st.Summary(context.Background(), pool, lease.Ticket{})
	if err != nil {
		return err
	}
	flags := words.Flags(p.Own.Conditions)
	if words.Printable(flags) != nil {
		return words.Hinted(fmt.Errorf("pool %s has a gate that cannot be printed as you would type it: it has a line end, a tab or an invisible character", pool),
			"berth ls --json "+pool)
	}
	_, err = fmt.Fprintln(os.Stdout, strings.Join(view.LimitLines(p.Own, flags, tty.IsTerminal(1)), "\n"))
	return err
}

// noted adds this user and the reason to settings whose limit was was. A user that adds a gate
// to a drained pool, or drains it again, is not the one that has drained it.
func noted(own lease.Settings, was *int, reason string) lease.Settings {
	same := was == nil && own.Limit == nil || was != nil && own.Limit != nil && *was == *own.Limit
	if reason != "" || !same || own.Limit == nil && own.Reason == "" {
		own.SetBy, own.SetAt, own.Reason = text.Me(), time.Now(), reason
	}
	return own
}
