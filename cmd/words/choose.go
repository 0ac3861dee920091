package words

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"berth/cmd/text"
	"berth/lease"
)

// Choice says which jobs and waiters a command is about: those that the words name, one
// each, or all of a pool (or of all pools) with that name of a job and these labels.
type Choice struct {
	Words  []string
	Pool   string
	Job    string
	Labels map[string]string
}

// leastHex is how many digits of an id's hex part name it without its pool. Fewer would
// soon be ambiguous.
const leastHex = 4

// IsID reports whether a word is a whole id.
func IsID(word string) bool {
	pool, err := lease.PoolOf(word)
	return err == nil && len(word) == len(lease.NewID(pool)) && isHex(word[len(pool)+1:])
}

func isHex(s string) bool { return s != "" && strings.Trim(s, "0123456789abcdef") == "" }

// Pools are the pools that have to be listed; none: all.
func (c Choice) Pools() (names []string) {
	if c.Pool != "" {
		return []string{c.Pool}
	}
	for _, w := range c.Words {
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

// Among chooses from the pools that were listed. is reports whether a recorded process has
// a pid on this machine. Waiters come before the holders of their pool, so that no waiter
// starts when a holder is stopped. The id is "" for each record that cannot be read.
//
// unknown has an error for each word that leads nowhere. With err, which is about a word
// that is ambiguous, nothing may be done.
func (c Choice) Among(pools []lease.Pool, is func(lease.Process, int) bool) (ids []string, unknown []error, err error) {
	if len(c.Words) == 0 {
		for _, e := range entriesOf(pools) {
			if (c.Job == "" || e.Request().Job == c.Job) && hasLabels(e, c.Labels) {
				ids = append(ids, e.ID())
			}
		}
		return ids, nil, nil
	}
	for _, w := range c.Words {
		found := []lease.Entry{}
		for _, e := range entriesOf(pools) {
			if isNamedBy(e, w, is) {
				found = append(found, e)
			}
		}
		id := w // the store says if it is gone
		switch {
		case IsID(w):
		case isPool(w, pools): // also when it looks like a pid or an id
			unknown = append(unknown, unknownWord(w, pools))
			continue
		case len(found) > 1:
			return nil, nil, ambiguous(w, found)
		case len(found) == 0:
			unknown = append(unknown, unknownWord(w, pools))
			continue
		default:
			id = found[0].ID()
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, unknown, nil
}

// mostPIDDigits is how long a pid may be. A number of so many digits names no id: when the job
// of that pid has ended, another one would be taken for it.
const mostPIDDigits = 7

// isPID reports whether a word may be a pid.
func isPID(word string) bool {
	n, err := strconv.Atoi(word)
	return err == nil && n > 0 && strconv.Itoa(n) == word && len(word) <= mostPIDDigits
}

// isNamedBy reports whether a word is the beginning of the entry's id, that of its hex
// part, or the pid of its berth or command.
func isNamedBy(e lease.Entry, word string, is func(lease.Process, int) bool) bool {
	id := e.ID()
	pool, hex, _ := strings.Cut(id, "/")
	switch {
	case id == "": // a record that cannot be read
		return false
	case len(word) > len(pool)+1 && strings.HasPrefix(id, word):
		return true
	case !isPID(word):
		return len(word) >= leastHex && strings.HasPrefix(hex, word)
	}
	pid, _ := strconv.Atoi(word)
	return is(e.Request().Owner, pid) || e.Lease != nil && e.Lease.Child != nil && is(*e.Lease.Child, pid)
}

func ambiguous(word string, found []lease.Entry) error {
	const most = 6
	var which []string
	for _, e := range found[:min(most, len(found))] {
		which = append(which, fmt.Sprintf("%s (pid %d, %s)", e.ID(), e.Request().Owner.PID, text.Shorten(text.CommandLine(e.Request().Command), 40)))
	}
	if more := len(found) - most; more > 0 {
		which = append(which, fmt.Sprintf("and %d more", more))
	}
	return Hinted(fmt.Errorf("%q may be any of %s: %s", word, text.Plural(len(found), "job"), strings.Join(which, ", ")), "name one by its whole id, or by more of it")
}

// isPool reports whether a word is a pool's name. NAME/ may have been listed only because
// it was named.
func isPool(word string, pools []lease.Pool) bool {
	name := strings.TrimSuffix(word, "/")
	return slices.ContainsFunc(pools, func(p lease.Pool) bool { return p.Name == name && (name == word || !MayNotExist(p)) })
}

func unknownWord(word string, pools []lease.Pool) error {
	if name := strings.TrimSuffix(word, "/"); isPool(word, pools) {
		return &PoolNamedError{name}
	}
	if _, err := lease.PoolOf(word); err == nil {
		return fmt.Errorf("%s: %w", word, lease.ErrNotFound)
	}
	switch {
	case isPID(word):
		return Hinted(NotFoundError(fmt.Sprintf("%s is not the pid of a job or waiter here", word)), "berth ls")
	case len(word) < leastHex && isHex(word):
		return fmt.Errorf("%q is too short for the beginning of an id (at least %d digits): %w", word, leastHex, lease.ErrNotFound)
	}
	return Hinted(NotFoundError(fmt.Sprintf("no job or waiter matches %q (give an id, its beginning, or a pid)", word)), "berth ls")
}

// None says that nothing is like c.
func (c Choice) None() string {
	if len(c.Labels) == 0 && c.Job == "" {
		return fmt.Sprintf("pool %s has neither jobs nor waiters", c.Pool)
	}
	where := ""
	if c.Pool != "" {
		where = " of pool " + c.Pool
	}
	labels := strings.Join(text.Labels(c.Labels), " and ")
	switch {
	case c.Job == "":
		return fmt.Sprintf("no job or waiter%s has the label %s", where, labels)
	case labels == "":
		return fmt.Sprintf("no job or waiter%s is a run of %q", where, c.Job)
	}
	return fmt.Sprintf("no job or waiter%s is a run of %q and has the label %s", where, c.Job, labels)
}
