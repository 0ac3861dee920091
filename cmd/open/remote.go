package open

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"berth/cmd/storename"
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

const RemoteProgram = "berth-remote"

// TryLockOf is set, to the name of a file, in the environment of the second process that tries
// locks.
const TryLockOf = "BERTH_DOCTOR_TRIES"

// Becoming is set in the environment of the program that replaces berth.
const Becoming = "BERTH_BECOMING_REMOTE"

// checkStore refuses a name that is hardly the name of a directory. A directory that is made
// after a slip would be a store of its own, which counts no other job, and its name could show
// a password.
func checkStore(o storename.Spec) error {
	if kind := storename.Check(o); kind != storename.OK {
		return &NameError{o, kind}
	}
	return nil
}

// openRemote opens the store of a URL, or replaces this process by berth-remote.
func openRemote(o storename.Spec, with Options) (lease.Store, error) {
	d, err := remote.ParseURL(o.Where)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.From, err)
	}
	d.Replicas = o.Replicas
	d.Trouble = with.Trouble
	d.Notice = func(err error) { with.Note("%v", err) }
	open := openers[d.Scheme]
	execed := os.Getenv(Becoming) != ""
	_ = os.Unsetenv(Becoming) // the job must not see it
	switch {
	case open != nil:
		return open(d)
	case slices.Contains(storename.Schemes, d.Scheme) && len(openers) == 0:
		return nil, execRemote(d, execed, with.Environ())
	}
	return nil, fmt.Errorf("%s: %q is not a store: a directory, or a URL that begins with one of %s", o.From, d.Name(), strings.Join(storename.Schemes, ", "))
}

// execRemote replaces this process by the berth-remote beside it, or else by that in PATH, with
// the same command line.
func execRemote(d remote.Address, execed bool, environ []string) error {
	if execed {
		return &NoRemoteError{d.Name(), errors.New("what is there by that name is berth itself")}
	}
	program := RemoteProgram
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), RemoteProgram)
		if fi, err := os.Stat(beside); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			program = beside
		}
	}
	err := procwatch.Replace(append([]string{program}, os.Args[1:]...), append(environ, Becoming+"=1"))
	return &NoRemoteError{d.Name(), err}
}
