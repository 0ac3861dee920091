package redisstore

import (
	"errors"
	"fmt"
	"strings"
)

// remedy is a command that removes a field. It is quoted for a shell, because anyone who can
// write to the server can choose the name of a field.
func (e *endpoint) remedy(key, field string) string {
	quoted := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	return e.cli() + " HDEL " + quoted(key) + " " + quoted(field) + " removes it"
}

// note gives each notice of the server once.
func (s *Store) note(notes []any) {
	for _, n := range notes {
		said, _ := n.([]any)
		what, key, field := answer(said).text(0), answer(said).text(1), answer(said).text(2)
		text := ""
		switch what {
		case "evicts":
			text = fmt.Sprintf("store %s may evict the records of holders when its memory is full (maxmemory-policy %s), and then more jobs than the limit could run: %s config set maxmemory-policy noeviction", s.name, key, s.endpoint.cli())
		case "aside":
			text = fmt.Sprintf("store %s has a record of a holder that cannot be read: %s in %s; it counts as one slot until it is known to be dead: %s", s.name, field, key, s.endpoint.remedy(key, field))
		case "adoption":
			text = fmt.Sprintf("store %s has a record of an adoption that cannot be read: %s in %s; until it has lapsed no other process can adopt the lease", s.name, field, key)
		case "dropped":
			text = fmt.Sprintf("store %s had a record of a waiter that could not be read: %s in %s; it is removed", s.name, field, key)
		default:
			continue
		}
		if _, told := s.noted.LoadOrStore(text, true); !told && s.address.Notice != nil {
			s.address.Notice(errors.New(text))
		}
	}
}
