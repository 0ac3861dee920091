package cmd

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"berth/cmd/text"
	"berth/lease"
	"berth/lease/remote"
	"berth/procwatch"
)

// Opener opens the stores of one kind of URL.
type Opener func(remote.Address) (lease.Store, error)

// openers are the stores that this program has clients for, by the scheme of the URL.
var openers = map[string]Opener{}

// Register adds a kind of store, before Main runs.
func Register(open Opener, schemes ...string) {
	for _, s := range schemes {
		openers[s] = open
	}
}

// elsewhere are the schemes of the stores that berth-remote has clients for. They
// would cost every start of berth some milliseconds and megabytes.
var elsewhere = []string{"redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "etcd", "etcds"}

const remoteProgram = "berth-remote"

// becoming is set in the environment of a berth that was replaced by another program.
const becoming = "BERTH_BECOMING_REMOTE"

// storeOptions are the flags that say which store, and how it is used.
type storeOptions struct {
	where    string // a directory, a URL, or ""
	owner    string // whose directory it has to be, "" not said
	byFlag   bool   // owner was, and not by the environment
	from     string // what says so: --store or BERTH_STORE
	replicas int
}

func isURL(where string) bool { return strings.Contains(where, "://") }

func schemeOf(where string) string {
	scheme, _, _ := strings.Cut(where, "://")
	return strings.ToLower(scheme)
}

// checkStore refuses what only looks like a directory. One that is made for a slip
// is a store of its own, in which nobody is counted, and its name is a password.
func checkStore(o storeOptions) error {
	scheme, rest, ok := cutScheme(o.where)
	shown := discreet(o.where)
	switch {
	case o.where == "" && o.from == "--store":
		return &hintedError{errors.New("--store: \"\" names no store"), "without --store it is the one of BERTH_STORE, else /var/tmp/berth-UID"}
	case isURL(o.where):
		return nil
	case strings.HasPrefix(o.where, "~"):
		return &hintedError{
			fmt.Errorf("%s: %q begins with a ~ that no shell has expanded", o.from, shown),
			fmt.Sprintf("write the whole path%s: ~ stays as it is in a crontab, in YAML, in quotes and behind --store=", atHome(o.where)),
		}
	case ok:
		hint := fmt.Sprintf("%s://%s for a server", schemeMeant(scheme), remote.Discreet(rest))
		if strings.Contains(shown, "…") {
			hint = fmt.Sprintf("%s://USER:PASSWORD@HOST for a server", schemeMeant(scheme))
		} else if strings.HasPrefix(o.where, scheme+":") {
			hint += fmt.Sprintf("; ./%s for a directory of that name", shown)
		}
		return &hintedError{fmt.Errorf("%s: %q is no directory's name and no URL", o.from, shown), hint}
	case isAddress(o.where) && strings.Contains(shown, "…"):
		return &hintedError{fmt.Errorf("%s: %q looks like the address of a server, and is no directory's name", o.from, shown), "redis://USER:PASSWORD@HOST or etcd://USER:PASSWORD@HOST for a server; with ./ before it, it is a directory's name"}
	case isAddress(o.where):
		host := shown
		if ip, err := netip.ParseAddr(shown); err == nil && ip.Is6() {
			host = "[" + shown + "]"
		}
		return &hintedError{fmt.Errorf("%s: %q looks like the address of a server, and is no directory's name", o.from, shown), fmt.Sprintf("redis://%s or etcd://%s for a server; ./%s for a directory of that name", host, host, shown)}
	}
	return nil
}

// cutScheme cuts a known scheme, or one that is a letter away from it, and what stands
// between it and the host: :// was meant.
func cutScheme(where string) (scheme, rest string, ok bool) {
	end := strings.IndexAny(where, ":;/")
	if end < 0 || where[end] == '/' && !strings.HasPrefix(where[end:], "//") {
		return "", where, false
	}
	scheme, rest = where[:end], strings.TrimLeft(where[end+1:], `/\`)
	if where[end] == '/' { // etc//pools is a path
		return scheme, rest, slices.Contains(elsewhere, strings.ToLower(scheme))
	}
	return scheme, rest, schemeMeant(scheme) != ""
}

// schemeMeant is the known one, "" for none.
func schemeMeant(typed string) string {
	typed = strings.ToLower(typed)
	if slices.Contains(elsewhere, typed) {
		return typed
	}
	if i := slices.IndexFunc(elsewhere, func(s string) bool { return text.Near(typed, s) }); i >= 0 {
		return elsewhere[i]
	}
	return ""
}

// atHome is the path that a shell makes of ~/DIR, as far as we know it.
func atHome(where string) string {
	home, rest := os.Getenv("HOME"), where[1:]
	if home == "" || rest != "" && rest[0] != '/' {
		return ""
	}
	return ", " + text.Quoted([]string{home + rest})[0]
}

// isAddress reports whether where is HOST:PORT, an IP address, or a list of them with
// commas, perhaps with a path or settings behind, or has an @ in it. What begins with a
// dot or one / is a path.
func isAddress(where string) bool {
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

// isPath reports whether where says by its beginning that it is a path. //u:pw@host has
// lost its scheme.
func isPath(where string) bool {
	return where == "" || where[0] == '.' || where[0] == '/' && !(strings.HasPrefix(where, "//") && strings.Contains(where, "@"))
}

// openRemote opens the store of a URL, or has berth-remote do what was asked of us.
func openRemote(o storeOptions, say *speaker) (lease.Store, error) {
	d, err := remote.ParseURL(o.where)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.from, err)
	}
	d.Replicas = o.replicas
	d.Trouble = say.trouble
	d.Notice = func(err error) { say.notef("%v", err) }
	open := openers[d.Scheme]
	again := os.Getenv(becoming) != ""
	_ = os.Unsetenv(becoming) // no business of the job's
	switch {
	case open != nil:
		return open(d)
	case slices.Contains(elsewhere, d.Scheme) && len(openers) == 0:
		return nil, beRemote(d, again)
	}
	return nil, fmt.Errorf("%s: %q is not a store: a directory, or a URL that begins with one of %s", o.from, d.Name(), strings.Join(elsewhere, ", "))
}

// beRemote replaces this process by berth-remote, which has the same command line,
// from beside us or from PATH.
func beRemote(d remote.Address, again bool) error {
	if again {
		return &remoteError{d.Name(), errors.New("what is there by that name is berth itself")}
	}
	program := remoteProgram
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), remoteProgram)
		if fi, err := os.Stat(beside); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			program = beside
		}
	}
	err := procwatch.Replace(append([]string{program}, os.Args[1:]...), append(callersEnviron(), becoming+"=1"))
	return &remoteError{d.Name(), err}
}

// remoteError says that there is no berth-remote.
type remoteError struct {
	store string
	err   error
}

func (e *remoteError) Error() string {
	return fmt.Sprintf("store %s needs the program %s beside berth or on PATH: %v", e.store, remoteProgram, e.err)
}
