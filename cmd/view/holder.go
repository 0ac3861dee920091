package view

import (
	"fmt"

	"berth/cmd/text"
	"berth/lease"
)

// Longest is who has held a slot for the longest time.
func Longest(p *lease.Pool) *lease.Entry {
	var l *lease.Entry
	for _, h := range p.Holders {
		if h.Lease.State != lease.Damaged && (l == nil || h.Lease.Token < l.Lease.Token) {
			l = &h
		}
	}
	return l
}

// StalledNotes say of the longest holder, or else of another one, that it is stopped,
// long and short: then it is no use to wait for it. "" and "": nobody is.
func StalledNotes(p *lease.Pool, longest *lease.Entry) []string {
	if longest.Lease.State == lease.Stalled {
		return []string{", " + orElse(longest.Note, "stalled"), ", stopped"}
	}
	for _, h := range p.Holders {
		if h.Lease.State == lease.Stalled && h.Note != "" {
			return []string{"; one is stopped: " + Describe(h.Lease), "; one is stopped"}
		}
	}
	return []string{"", ""}
}

// Describe names a job: its command, pid, and for how long.
func Describe(l *lease.Lease) string {
	where := ""
	if l.Owner.Host != "" && l.Owner.Host != text.Host() {
		where = " on " + text.OneLine(l.Owner.Host)
	}
	return fmt.Sprintf("%s (pid %d%s, %s)", text.Shorten(text.CommandLine(l.Command), 40), describedPID(l), where, text.Since(l.Since))
}

// describedPID is of the command, or of its berth before there is one.
func describedPID(l *lease.Lease) int {
	if l.Child != nil {
		return l.Child.PID
	}
	return l.Owner.PID
}
