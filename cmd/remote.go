package cmd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"berth/lease"
	"berth/procwatch"
)

// Opener opens the stores of one kind of URL.
type Opener func(lease.Dial) (lease.Store, error)

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
	replicas int
}

func isURL(where string) bool { return strings.Contains(where, "://") }

func schemeOf(where string) string {
	scheme, _, _ := strings.Cut(where, "://")
	return strings.ToLower(scheme)
}

// checkStore refuses what only looks like a directory.
func checkStore(where string) error {
	scheme, rest, ok := strings.Cut(where, ":")
	if ok && slices.Contains(elsewhere, strings.ToLower(scheme)) && !strings.HasPrefix(rest, "//") {
		return fmt.Errorf("--store: %q is no directory's name and no URL: %s://… or ./%s:…", where, scheme, scheme)
	}
	return nil
}

// openRemote opens the store of a URL, or has berth-remote do what was asked of us.
func openRemote(o storeOptions, say *speaker) (lease.Store, error) {
	d, err := lease.ParseURL(o.where)
	if err != nil {
		return nil, fmt.Errorf("--store: %w", err)
	}
	d.Replicas = o.replicas
	d.Trouble = func(err error) { say.notef("%v; trying again", err) }
	open := openers[d.Scheme]
	again := os.Getenv(becoming) != ""
	_ = os.Unsetenv(becoming) // no business of the job's
	switch {
	case open != nil:
		return open(d)
	case slices.Contains(elsewhere, d.Scheme) && len(openers) == 0:
		return nil, beRemote(d, again)
	}
	return nil, fmt.Errorf("--store: %q is not a store: a directory, or a URL that begins with one of %s", d.Name(), strings.Join(elsewhere, ", "))
}

// beRemote replaces this process by berth-remote, which has the same command line,
// from beside us or from PATH.
func beRemote(d lease.Dial, again bool) error {
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
