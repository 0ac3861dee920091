// Package storename parses the names of stores, as they stand behind --store, and hides the
// passwords in them.
package storename

import (
	"net/netip"
	"slices"
	"strings"

	"berth/cmd/text"
)

// Spec names a store.
type Spec struct {
	Where       string // a directory, a URL, or ""
	Owner       string // whose directory it has to be, "" not said
	OwnerByFlag bool   // owner was, and not by the environment
	From        string // what says so: --store, BERTH_STORE, --user-store or MachineFile; "": nothing does
	Replicas    int
}

func IsURL(where string) bool { return strings.Contains(where, "://") }

func Scheme(where string) string {
	scheme, _, _ := strings.Cut(where, "://")
	return strings.ToLower(scheme)
}

// Schemes are the URL schemes for which berth-remote has clients. In berth itself the clients
// would cost every start some milliseconds and megabytes.
var Schemes = []string{"redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "etcd", "etcds"}

// Cut splits a name into a known scheme, or one that differs from it by one letter, and the
// rest behind what was typed in place of ://.
func Cut(where string) (scheme, rest string, ok bool) {
	end := strings.IndexAny(where, ":;/")
	if end < 0 || where[end] == '/' && !strings.HasPrefix(where[end:], "//") {
		return "", where, false
	}
	scheme, rest = where[:end], strings.TrimLeft(where[end+1:], `/\`)
	if where[end] == '/' { // etc//pools is a path
		return scheme, rest, slices.Contains(Schemes, strings.ToLower(scheme))
	}
	return scheme, rest, Meant(scheme) != ""
}

// Meant is the known scheme that was meant, "" for none.
func Meant(typed string) string {
	typed = strings.ToLower(typed)
	if slices.Contains(Schemes, typed) {
		return typed
	}
	if i := slices.IndexFunc(Schemes, func(s string) bool { return text.Near(typed, s) }); i >= 0 {
		return Schemes[i]
	}
	return ""
}

// IsAddress reports whether where is HOST:PORT, an IP address, or a list of them with commas,
// with or without a path or settings, or has an @ in it. A name that begins with a dot or a
// single / is a path.
func IsAddress(where string) bool {
	where = strings.Trim(where, "\"' \t\r\n")
	if isPath(where) {
		return false
	}
	if strings.Contains(where, "@") {
		return true
	}
	hosts := where
	if end := strings.IndexAny(where, "/?#"); end >= 0 {
		hosts = where[:end]
	}
	for host := range strings.SplitSeq(hosts, ",") {
		_, err := netip.ParseAddr(strings.Trim(host, "[]"))
		i := strings.LastIndexByte(host, ':')
		port := host[i+1:]
		if err == nil || i >= 0 && port != "" && strings.Trim(port, "0123456789") == "" {
			return true
		}
	}
	return false
}

// isPath reports whether where begins like a path. //u:pw@host is a URL without its scheme.
func isPath(where string) bool {
	return where == "" || where[0] == '.' || where[0] == '/' && !(strings.HasPrefix(where, "//") && strings.Contains(where, "@"))
}

// Kind is what a name looks like.
type Kind int

const (
	OK            Kind = iota
	Empty              // and --store was given
	Tilde              // which no shell has expanded
	MissingScheme      // without the :// of a URL
	Address            // of a server
)

// Check finds names that are hardly the name of a directory.
func Check(s Spec) Kind {
	_, _, ok := Cut(s.Where)
	switch {
	case s.Where == "" && s.From == "--store":
		return Empty
	case IsURL(s.Where):
		return OK
	case strings.HasPrefix(s.Where, "~"):
		return Tilde
	case ok:
		return MissingScheme
	case IsAddress(s.Where):
		return Address
	}
	return OK
}
