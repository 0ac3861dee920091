package cmd

import (
	"errors"
	"os"
	"strings"

	"berth/cmd/storename"
	"berth/cmd/words"
	"berth/procwatch"
)

// advised adds to an error of the look-up a command line that a shell understands.
func (r *runner) advised(err error) error {
	if !errors.Is(err, procwatch.ErrNotFound) && !errors.Is(err, procwatch.ErrCannotExec) {
		return err
	}
	name := r.spec.Argv[0]
	if path, set := procwatch.SearchPath(os.Environ()); strings.Contains(name, "/") {
		dir, _ := os.Getwd()
		r.say.verbosef("looked for %q from %s", name, dir)
	} else if set {
		r.say.verbosef("looked for %q in the directories of PATH, which is %s", name, path)
	} else {
		r.say.verbosef("looked for %q in %s, because PATH is not set", name, path)
	}
	if next := words.Advice(r.spec.Argv, os.Environ(), errors.Is(err, procwatch.ErrNotFound)); next != "" {
		return words.Hinted(err, next)
	}
	return err
}

// noteSudo prints a note if sudo has cleared the environment, so that this berth uses another
// store than its caller.
func (r *runner) noteSudo() {
	if os.Getenv("SUDO_UID") != "" && (r.spec.Store.From == "" || r.spec.Store.From == storename.MachineFile) && !r.say.quiet {
		r.say.out.later(func() { // it reads processes
			if theirs, pass := r.store.BehindSudo(); theirs != "" {
				r.say.notef("sudo cleared BERTH_STORE: this berth counts in %s, its caller in %s; to count in %s: sudo --preserve-env=%s", r.store.Shown(), theirs, theirs, pass)
			}
		})
	}
}
