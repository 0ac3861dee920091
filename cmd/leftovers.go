package cmd

import (
	"fmt"
	"strings"
	"time"

	"berth/cmd/tty"
)

const (
	// leftoversFirst is how long what a command left may take to go before a person
	// wonders why berth does not end.
	leftoversFirst = time.Second
	// leftoversNamed are so many; a job may leave a thousand.
	leftoversNamed = 3
)

// tellLeftovers says after a moment which of them are waited for. Beside the loop: on a
// busy machine a look at all processes takes its time.
func (s *supervisor) tellLeftovers() {
	if s.spec.KillAfter <= leftoversFirst || s.say.quiet {
		return
	}
	time.AfterFunc(leftoversFirst, func() {
		if left := leftoversLine(s.child.Left()); left != "" {
			s.say.notef("the command has ended; waiting for what it left, which --leftovers kill ends: %s; KILL follows %s after %s",
				left, short(s.spec.KillAfter), tty.SignalName(s.spec.Signal))
		}
	})
}

// leftoversLine names them; "" if there are none, or nobody can tell.
func leftoversLine(left []string) string {
	more := ""
	if n := len(left) - leftoversNamed; n > 0 {
		left, more = left[:leftoversNamed], fmt.Sprintf(" and %d more", n)
	}
	return strings.Join(left, ", ") + more
}
