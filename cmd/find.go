package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"berth/cmd/open"
	"berth/cmd/text"
	"berth/cmd/words"
	"berth/lease"
	"berth/procwatch"
)

// ids are the ids of what c names. unknown has an error for each word that leads nowhere;
// with err nothing may be done.
func ids(ctx context.Context, st *open.Store, c words.Choice) (ids []string, unknown []error, err error) {
	if len(c.Words) > 0 && !slices.ContainsFunc(c.Words, func(w string) bool { return !words.IsID(w) }) {
		return c.Words, nil, nil // the store finds each faster than its pool is listed
	}
	pools, err := st.List(ctx, c.Pools()...)
	if err != nil && pools == nil {
		return nil, nil, err
	}
	if c.Pool != "" {
		if _, err := known(ctx, st, pools); err != nil {
			return nil, nil, err
		}
	}
	ids, unknown, mistake := c.Among(pools, isProcess)
	if err != nil && (len(unknown) > 0 || len(c.Words) == 0) {
		unknown = append(unknown, err) // of a pool that could not be read: more may be there
	}
	return ids, unknown, mistake
}

// isProcess reports whether the recorded process p lives on this machine and has that pid.
func isProcess(p lease.Process, pid int) bool {
	return p.PID == pid && slices.Contains([]procwatch.State{procwatch.Alive, procwatch.Stopped}, procwatch.ID(p).State())
}

// one is the id of the job that a word names.
func one(ctx context.Context, st *open.Store, word string) (string, error) {
	ids, unknown, err := ids(ctx, st, words.Choice{Words: []string{word}})
	var pool *words.HintedError
	switch err = errors.Join(append(unknown, err)...); {
	case errors.As(err, &pool) && strings.HasPrefix(pool.Next, "berth stop "): // the caller does not want to stop it
		return "", words.Hinted(pool.Err, "berth ls "+strings.TrimSuffix(word, "/"))
	case err != nil:
		return "", err
	}
	return ids[0], nil
}

// known are those of the pools, listed by name, that exist. err names the others.
func known(ctx context.Context, st *open.Store, listed []lease.Pool) ([]lease.Pool, error) {
	if !slices.ContainsFunc(listed, words.MayBeNone) {
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
		if words.MayBeNone(p) && !is(p.Name) {
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
		return there, words.Nowhere(fmt.Sprintf("%s in store %s, which has none yet", what, st.Shown()))
	}
	return there, words.Hinted(words.Nowhere(fmt.Sprintf("%s in store %s", what, st.Shown())), poolMeant(not[0], all))
}

// missing are the names of those of the pools, listed by name, that do not exist, as far as
// that can be read.
func missing(ctx context.Context, st *open.Store, listed []lease.Pool) map[string]bool {
	if !slices.ContainsFunc(listed, words.MayBeNone) {
		return nil
	}
	all, err := st.List(ctx)
	if err != nil {
		return nil
	}
	not := map[string]bool{}
	for _, p := range listed {
		if words.MayBeNone(p) {
			not[p.Name] = true
		}
	}
	for _, p := range all {
		delete(not, p.Name)
	}
	return not
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
