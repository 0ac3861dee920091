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

// findIDs finds the ids of what c names. unknown has an error for each word that leads nowhere;
// with err nothing may be done.
func findIDs(ctx context.Context, st *open.Store, c words.Choice) (ids []string, unknown []error, err error) {
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
	ids, unknown, err := findIDs(ctx, st, words.Choice{Words: []string{word}})
	var pool *words.PoolNamedError
	switch err = errors.Join(append(unknown, err)...); {
	case errors.As(err, &pool): // the caller does not want to stop it
		return "", words.Hinted(pool, "berth ls "+pool.Pool)
	case err != nil:
		return "", err
	}
	return ids[0], nil
}

// leaseNamed is the id that LEASE of a command names, or BERTH_LEASE if nothing was typed.
func leaseNamed(ctx context.Context, st *open.Store, word string, typed bool) (string, error) {
	switch {
	case typed:
		return one(ctx, st, word)
	case !words.IsID(word):
		return "", fmt.Errorf("BERTH_LEASE: %q is not a lease id: %w", word, lease.ErrNotFound)
	}
	return word, nil
}

// missing are the names of those of the pools, listed by name, that do not exist. all are the
// pools that could be read to find that out, nil if none had to be.
func missing(ctx context.Context, st *open.Store, listed []lease.Pool) (names []string, all []lease.Pool, err error) {
	if !slices.ContainsFunc(listed, words.MayNotExist) {
		return nil, nil, nil
	}
	all, err = st.List(ctx)
	if err != nil && all == nil {
		return nil, nil, err
	}
	for _, p := range listed {
		if words.MayNotExist(p) && !slices.ContainsFunc(all, func(q lease.Pool) bool { return q.Name == p.Name }) {
			names = append(names, p.Name)
		}
	}
	return names, all, err
}

// known are those of the pools, listed by name, that exist. err names the others.
func known(ctx context.Context, st *open.Store, listed []lease.Pool) ([]lease.Pool, error) {
	not, all, err := missing(ctx, st, listed)
	switch {
	case err != nil && all == nil:
		return listed, err
	case len(not) == 0:
		return listed, nil
	}
	there := slices.DeleteFunc(slices.Clone(listed), func(p lease.Pool) bool { return slices.Contains(not, p.Name) })
	return there, missingError(not, all, st.Shown())
}

func missingError(names []string, all []lease.Pool, store string) error {
	fact := "there is no pool " + names[0]
	if len(names) > 1 {
		fact = "there are no pools " + strings.Join(names, ", ")
	}
	fact += " in store " + store
	if len(all) == 0 {
		fact += ", which has none yet"
	}
	err := error(words.NotFoundError(fact))
	if next := poolMeant(names[0], all); next != "" {
		err = words.Hinted(err, next)
	}
	return err
}

// poolMeant is what to type in place of the name of a missing pool, "" if nothing is known.
func poolMeant(typed string, all []lease.Pool) string {
	switch {
	case typed == "help":
		return "berth COMMAND --help tells how a command is used"
	case len(all) == 0:
		return ""
	}
	for _, p := range all {
		if text.Near(typed, p.Name) || strings.EqualFold(typed, p.Name) {
			return fmt.Sprintf("did you mean %s?", p.Name)
		}
	}
	return "berth ls -a shows those there are"
}
