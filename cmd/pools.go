package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"berth/cmd/text"
	"berth/lease"
)

func poolFlag(usage string) cli.Flag {
	return newString(cli.StringFlag{Name: "pool", Aliases: []string{"p"}, Usage: "`POOL` " + usage})
}

// poolsNamed are the operands, or what --pool names in their place.
func poolsNamed(c *cli.Context) ([]string, error) {
	names := c.Args().Slice()
	if c.IsSet("pool") {
		if len(names) > 0 {
			return nil, errors.New("name pools as operands or with -p, not both")
		}
		names = []string{c.String("pool")}
	}
	for _, n := range names {
		if err := lease.CheckPool(n); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// nowhere is an error for which lease.ErrNotFound stands in the table of exit codes.
type nowhere string

func (e nowhere) Error() string        { return string(e) }
func (e nowhere) Is(target error) bool { return target == lease.ErrNotFound }

// known are the pools that are there, of those that were listed by name; err names
// the others.
func (st *store) known(ctx context.Context, listed []lease.Pool) ([]lease.Pool, error) {
	if !slices.ContainsFunc(listed, mayBeNone) {
		return listed, nil
	}
	all, err := st.List(ctx)
	if err != nil && all == nil {
		return listed, err
	}
	is := func(name string) bool {
		return slices.ContainsFunc(all, func(p lease.Pool) bool { return p.Name == name })
	}
	var there []lease.Pool
	var not []string
	for _, p := range listed {
		if mayBeNone(p) && !is(p.Name) {
			not = append(not, p.Name)
		} else {
			there = append(there, p)
		}
	}
	if len(not) == 0 {
		return there, nil
	}
	what := "there is no pool " + not[0]
	if len(not) > 1 {
		what = "there are no pools " + strings.Join(not, ", ")
	}
	if len(all) == 0 && not[0] != "help" {
		return there, nowhere(fmt.Sprintf("%s in store %s, which has none yet", what, st.shown()))
	}
	return there, &hintedError{nowhere(fmt.Sprintf("%s in store %s", what, st.shown())), poolMeant(not[0], all)}
}

// missing are the names of those that are not there, of those that were listed by
// name. If that cannot be read, none.
func (st *store) missing(ctx context.Context, listed []lease.Pool) map[string]bool {
	if !slices.ContainsFunc(listed, mayBeNone) {
		return nil
	}
	all, err := st.List(ctx)
	if err != nil {
		return nil
	}
	not := map[string]bool{}
	for _, p := range listed {
		if mayBeNone(p) {
			not[p.Name] = true
		}
	}
	for _, p := range all {
		delete(not, p.Name)
	}
	return not
}

// mayBeNone reports whether nothing shows that the pool is there.
func mayBeNone(p lease.Pool) bool {
	return p.Err == nil && p.LockHeldBy == "" && len(p.Holders)+len(p.Waiters) == 0 && p.Own.None() && p.Starts.Last == 0
}

func poolMeant(typed string, all []lease.Pool) string {
	if typed == "help" {
		return "berth COMMAND --help tells how a command is used"
	}
	for _, p := range all {
		if text.Near(typed, p.Name) || strings.EqualFold(typed, p.Name) {
			return fmt.Sprintf("did you mean %s?", p.Name)
		}
	}
	return "berth ls -a shows those there are"
}
