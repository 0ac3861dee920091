package cmd

import "os"

// noteSudo says when sudo, which clears the environment, has us count in another
// store than who called it.
func (r *runner) noteSudo() {
	if os.Getenv("SUDO_UID") != "" && r.spec.Store.Where == "" && !r.say.quiet {
		r.say.out.later(func() { // it reads processes
			if theirs, pass := r.store.BehindSudo(); theirs != "" {
				r.say.notef("sudo cleared BERTH_STORE: this berth counts in %s, its caller in %s; to count in %s: sudo --preserve-env=%s", r.store.Shown(), theirs, theirs, pass)
			}
		})
	}
}
