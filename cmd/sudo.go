package cmd

import (
	"os"

	"berth/cmd/storename"
	"berth/procwatch"
)

// noteSudo says when sudo, which clears the environment, has us count in another
// store than who called it.
func (r *runner) noteSudo() {
	if os.Getenv("SUDO_UID") != "" && r.spec.Store.Where == "" && !r.say.quiet {
		r.say.out.later(r.lookBehindSudo) // it reads processes
	}
}

func (r *runner) lookBehindSudo() {
	above, err := procwatch.Ancestors()
	if err != nil {
		return
	}
	for _, a := range above {
		theirs, ok := a.Started("BERTH_STORE")
		if !ok || theirs == "" {
			continue
		}
		if theirs == r.store.where {
			return
		}
		pass := "BERTH_STORE"
		if lease, _ := a.Started("BERTH_LEASE"); lease != "" {
			pass += ",BERTH_LEASE" // else it waits for the job that it is in
		}
		r.say.notef("sudo cleared BERTH_STORE: this berth counts in %s, its caller in %s; to count in %s: sudo --preserve-env=%s", r.store.shown(), storename.Discreet(theirs), storename.Discreet(theirs), pass)
		return
	}
}
