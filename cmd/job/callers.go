package job

import (
	"os"
	"slices"
	"strings"
)

// CallersEnviron is our environment as our caller made it, byte for byte, but for one
// variable. Go's own list leaves out entries that are empty, and all but the first of one
// name.
func CallersEnviron(without string) []string {
	known := os.Environ()
	raw := slices.DeleteFunc(rawEnviron(), func(e string) bool { return strings.HasPrefix(e, without+"=") })
	if !extends(raw, known) {
		return known
	}
	return raw
}

// extends reports whether raw is known plus the entries that Go drops. Otherwise raw is that of
// another process, as in a chroot with a /proc of its own, or of another time.
func extends(raw, known []string) bool {
	for i, e := range raw {
		switch name, _, set := strings.Cut(e, "="); {
		case len(known) > 0 && e == known[0]:
			known = known[1:]
		case e == "":
		case !set || !slices.ContainsFunc(raw[:i], func(before string) bool { return strings.HasPrefix(before, name+"=") }):
			return false
		}
	}
	return len(known) == 0
}
