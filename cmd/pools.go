package cmd

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"berth/lease"
)

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
	if len(all) == 0 {
		return there, nowhere(fmt.Sprintf("%s in store %s, which has none yet", what, st.shown()))
	}
	return there, &hintedError{nowhere(fmt.Sprintf("%s in store %s", what, st.shown())), poolMeant(not[0], all)}
}

// mayBeNone reports whether nothing shows that the pool is there.
func mayBeNone(p lease.Pool) bool {
	return p.Err == nil && p.LockHeldBy == "" && len(p.Holders)+len(p.Waiters) == 0 && p.Own.None() && p.Starts.Last == 0
}

func poolMeant(typed string, all []lease.Pool) string {
	for _, p := range all {
		if near(typed, p.Name) || strings.EqualFold(typed, p.Name) {
			return fmt.Sprintf("did you mean %s?", p.Name)
		}
	}
	return "berth ls shows those there are"
}
