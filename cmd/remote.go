package cmd

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"berth/cmd/storename"
	"berth/cmd/text"
	"berth/cmd/words"
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

const remoteProgram = "berth-remote"

// becoming is set in the environment of a berth that was replaced by another program.
const becoming = "BERTH_BECOMING_REMOTE"

// checkStore refuses what only looks like a directory. One that is made for a slip
// is a store of its own, in which nobody is counted, and its name is a password.
func checkStore(o storename.Spec) error {
	scheme, rest, ok := storename.Cut(o.Where)
	shown := storename.Discreet(o.Where)
	switch {
	case o.Where == "" && o.From == "--store":
		return words.Hinted(errors.New("--store: \"\" names no store"), "without --store it is the one of BERTH_STORE, else /var/tmp/berth-UID")
	case storename.IsURL(o.Where):
		return nil
	case strings.HasPrefix(o.Where, "~"):
		return words.Hinted(fmt.Errorf("%s: %q begins with a ~ that no shell has expanded", o.From, shown),
			fmt.Sprintf("write the whole path%s: ~ stays as it is in a crontab, in YAML, in quotes and behind --store=", atHome(o.Where)))
	case ok:
		hint := fmt.Sprintf("%s://%s for a server", storename.Meant(scheme), remote.Discreet(rest))
		if strings.Contains(shown, "…") {
			hint = fmt.Sprintf("%s://USER:PASSWORD@HOST for a server", storename.Meant(scheme))
		} else if strings.HasPrefix(o.Where, scheme+":") {
			hint += fmt.Sprintf("; ./%s for a directory of that name", shown)
		}
		return words.Hinted(fmt.Errorf("%s: %q is no directory's name and no URL", o.From, shown), hint)
	case storename.IsAddress(o.Where) && strings.Contains(shown, "…"):
		return words.Hinted(fmt.Errorf("%s: %q looks like the address of a server, and is no directory's name", o.From, shown), "redis://USER:PASSWORD@HOST or etcd://USER:PASSWORD@HOST for a server; with ./ before it, it is a directory's name")
	case storename.IsAddress(o.Where):
		host := shown
		if ip, err := netip.ParseAddr(shown); err == nil && ip.Is6() {
			host = "[" + shown + "]"
		}
		return words.Hinted(fmt.Errorf("%s: %q looks like the address of a server, and is no directory's name", o.From, shown), fmt.Sprintf("redis://%s or etcd://%s for a server; ./%s for a directory of that name", host, host, shown))
	}
	return nil
}

// atHome is the path that a shell makes of ~/DIR, as far as we know it.
func atHome(where string) string {
	home, rest := os.Getenv("HOME"), where[1:]
	if home == "" || rest != "" && rest[0] != '/' {
		return ""
	}
	return ", " + text.Quoted([]string{home + rest})[0]
}

// openRemote opens the store of a URL, or has berth-remote do what was asked of us.
func openRemote(o storename.Spec, say *speaker) (lease.Store, error) {
	d, err := remote.ParseURL(o.Where)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.From, err)
	}
	d.Replicas = o.Replicas
	d.Trouble = say.trouble
	d.Notice = func(err error) { say.notef("%v", err) }
	open := openers[d.Scheme]
	again := os.Getenv(becoming) != ""
	_ = os.Unsetenv(becoming) // no business of the job's
	switch {
	case open != nil:
		return open(d)
	case slices.Contains(storename.Schemes, d.Scheme) && len(openers) == 0:
		return nil, beRemote(d, again)
	}
	return nil, fmt.Errorf("%s: %q is not a store: a directory, or a URL that begins with one of %s", o.From, d.Name(), strings.Join(storename.Schemes, ", "))
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
