package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"berth/cmd/text"
	"berth/cmd/view"
	"berth/lease"
	"berth/procwatch"
)

// choice is which jobs and waiters a command is about: either those that words name,
// one each, or all of a pool (or of all pools) that have these labels.
type choice struct {
	words  []string
	pool   string
	labels map[string]string
}

// leastHex is how much of an id's hex part names it without its pool: less is soon
// the beginning of another.
const leastHex = 4

// ids finds what c names. What a word does not lead to is in unknown, an error each;
// err is a mistake because of which nothing at all may be done.
func (st *store) ids(ctx context.Context, c choice) (ids []string, unknown []error, err error) {
	if len(c.words) > 0 && !slices.ContainsFunc(c.words, func(w string) bool { return !isID(w) }) {
		return c.words, nil, nil // the store finds each faster than its pool is listed
	}
	pools, err := st.List(ctx, c.pools()...)
	if err != nil && pools == nil {
		return nil, nil, err
	}
	if c.pool != "" {
		if _, err := st.known(ctx, pools); err != nil {
			return nil, nil, err
		}
	}
	ids, unknown, mistake := c.among(pools, st.is)
	if err != nil && (len(unknown) > 0 || len(c.words) == 0) {
		unknown = append(unknown, err) // of a pool that could not be read: more may be there
	}
	return ids, unknown, mistake
}

// isID reports whether a word is an id from end to end.
func isID(word string) bool {
	pool, err := lease.PoolOf(word)
	return err == nil && len(word) == len(lease.NewID(pool)) && isHex(word[len(pool)+1:])
}

func isHex(s string) bool { return s != "" && strings.Trim(s, "0123456789abcdef") == "" }

// pools are those that have to be looked at; none: all.
func (c choice) pools() (names []string) {
	if c.pool != "" {
		return []string{c.pool}
	}
	for _, w := range c.words {
		name, err := lease.PoolOf(w)
		if err != nil {
			return nil
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// is reports whether p has that pid here, and lives: what it had may be another's now.
func (st *store) is(p lease.Process, pid int) bool {
	return p.PID == pid && slices.Contains([]procwatch.State{procwatch.Alive, procwatch.Stopped}, procwatch.ID(p).State())
}

// among chooses from what was listed; is tells whose a pid is. Waiters come before
// the holders of their pool, so that none of them starts meanwhile. "" stands for
// each that has a record that cannot be read.
func (c choice) among(pools []lease.Pool, is func(lease.Process, int) bool) (ids []string, unknown []error, err error) {
	if len(c.words) == 0 {
		for _, e := range entriesOf(pools) {
			if hasLabels(e, c.labels) {
				ids = append(ids, idOf(e))
			}
		}
		return ids, nil, nil
	}
	for _, w := range c.words {
		found := []lease.Entry{}
		for _, e := range entriesOf(pools) {
			if isNamedBy(e, w, is) {
				found = append(found, e)
			}
		}
		id := w // one that is gone is the store's to say
		switch {
		case isID(w):
		case isPool(w, pools): // also when it looks like a pid or an id
			unknown = append(unknown, unknownWord(w, pools))
			continue
		case len(found) > 1:
			return nil, nil, ambiguous(w, found)
		case len(found) == 0:
			unknown = append(unknown, unknownWord(w, pools))
			continue
		default:
			id = idOf(found[0])
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, unknown, nil
}

func entriesOf(pools []lease.Pool) (all []lease.Entry) {
	for _, p := range pools {
		all = append(append(all, p.Waiters...), p.Holders...)
	}
	return all
}

func hasLabels(e lease.Entry, labels map[string]string) bool {
	has := requestOf(e).Labels
	for k, v := range labels {
		if got, ok := has[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// isNamedBy reports whether a word is the beginning of the entry's id, that of its hex
// part, or the pid of its berth or command.
func isNamedBy(e lease.Entry, word string, is func(lease.Process, int) bool) bool {
	id := idOf(e)
	pool, hex, _ := strings.Cut(id, "/")
	switch {
	case id == "": // a record that cannot be read
		return false
	case len(word) > len(pool)+1 && strings.HasPrefix(id, word), len(word) >= leastHex && strings.HasPrefix(hex, word):
		return true
	}
	pid, err := strconv.Atoi(word)
	if err != nil || strconv.Itoa(pid) != word {
		return false
	}
	return is(requestOf(e).Owner, pid) || e.Lease != nil && e.Lease.Child != nil && is(*e.Lease.Child, pid)
}

func requestOf(e lease.Entry) *lease.Request {
	if e.Lease != nil {
		return &e.Lease.Request
	}
	return &e.Ticket.Request
}

func ambiguous(word string, found []lease.Entry) error {
	const most = 6
	var which []string
	for _, e := range found[:min(most, len(found))] {
		which = append(which, fmt.Sprintf("%s (pid %d, %s)", idOf(e), requestOf(e).Owner.PID, text.Shorten(text.CommandLine(requestOf(e).Command), 40)))
	}
	if more := len(found) - most; more > 0 {
		which = append(which, fmt.Sprintf("and %d more", more))
	}
	return &hintedError{fmt.Errorf("%q may be any of %s: %s", word, text.Plural(len(found), "job"), strings.Join(which, ", ")), "name one by its whole id, or by more of it"}
}

// isPool reports whether a word is a pool's name. With its slash it may have been
// listed only because it was named.
func isPool(word string, pools []lease.Pool) bool {
	name := strings.TrimSuffix(word, "/")
	return slices.ContainsFunc(pools, func(p lease.Pool) bool { return p.Name == name && (name == word || !mayBeNone(p)) })
}

func unknownWord(word string, pools []lease.Pool) error {
	if name := strings.TrimSuffix(word, "/"); isPool(word, pools) {
		return &hintedError{nowhere(fmt.Sprintf("%q is a pool, and no lease", name)), "berth stop --pool " + name}
	}
	if _, err := lease.PoolOf(word); err == nil {
		return fmt.Errorf("%s: %w", word, lease.ErrNotFound)
	}
	if len(word) < leastHex && isHex(word) {
		return fmt.Errorf("%q is not a pid of a job here, and too short for the beginning of an id (at least %d digits): %w", word, leastHex, lease.ErrNotFound)
	}
	return &hintedError{nowhere(fmt.Sprintf("no job or waiter matches %q (give an id, its beginning, or a pid)", word)), "berth ls"}
}

// none says that nothing is like c.
func (c choice) none() string {
	if len(c.labels) == 0 {
		return fmt.Sprintf("pool %s has neither jobs nor waiters", c.pool)
	}
	where := ""
	if c.pool != "" {
		where = " of pool " + c.pool
	}
	return fmt.Sprintf("no job or waiter%s has the label %s", where, strings.Join(view.LabelList(c.labels), " and "))
}

// one is the id that a word names, for what is asked of a single job.
func (st *store) one(ctx context.Context, word string) (string, error) {
	ids, unknown, err := st.ids(ctx, choice{words: []string{word}})
	var pool *hintedError
	switch err = errors.Join(append(unknown, err)...); {
	case errors.As(err, &pool) && strings.HasPrefix(pool.next, "berth stop "): // how to stop it is not what is asked
		return "", &hintedError{pool.error, "berth ls " + strings.TrimSuffix(word, "/")}
	case err != nil:
		return "", err
	}
	return ids[0], nil
}
