package view

import (
	"fmt"

	"berth/cmd/text"
	"berth/lease"
)

// Longest is the holder that has had its slots for the longest time.
func Longest(p *lease.Pool) *lease.Entry {
	var l *lease.Entry
	for _, h := range p.Holders {
		if h.Lease.State != lease.Damaged && (l == nil || h.Lease.Token < l.Lease.Token) {
			l = &h
		}
	}
	return l
}

// StalledNotes are a long and a short note that the longest holder is stopped, or else that
// another one is: it may hold its slots forever. Both are "" if none is stopped.
func StalledNotes(p *lease.Pool, longest *lease.Entry) (long, short string) {
	if longest.Lease.State == lease.Stalled {
		return ", " + orElse(longest.Note, "stalled"), ", stopped"
	}
	for _, h := range p.Holders {
		if h.Lease.State == lease.Stalled && h.Note != "" {
			return "; one is stopped: " + Describe(h.Lease), "; one is stopped"
		}
	}
	return "", ""
}

// Describe names a job by its command, its pid and its age.
func Describe(l *lease.Lease) string {
	where := ""
	if l.Owner.Host != "" && l.Owner.Host != text.Host() {
		where = " on " + text.OneLine(l.Owner.Host)
	}
	return fmt.Sprintf("%s (pid %d%s, %s)", text.Shorten(text.CommandLine(l.Command), 40), describedPID(l), where, text.Since(l.Since))
}

// describedPID is the pid of the command, or of its berth before the command has started.
func describedPID(l *lease.Lease) int {
	if l.Child != nil {
		return l.Child.PID
	}
	return l.Owner.PID
}
