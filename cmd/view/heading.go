package view

import (
	"fmt"
	"strings"

	"berth/cmd/text"
	"berth/lease"
)

// heading is what is shown of a pool above its jobs.
func heading(p *Pool, columns int) []TextLine {
	name := text.OneLine(p.Pool)
	switch {
	case p.unread:
		return []TextLine{{Text: cut(name+gap+"cannot be read", columns), Color: colorPool, To: len(name)}}
	case p.Missing:
		return []TextLine{{Text: cut(name+gap+"no such pool", columns), Color: colorPool, To: len(name)}}
	}
	var lines []TextLine
	under := func(s string) {
		all := []string{s}
		if columns > 0 {
			all = text.Wrapped(s, columns-len(gap))
		}
		for _, l := range all {
			lines = append(lines, TextLine{Text: cut(gap+l, columns)})
		}
	}
	under(name + gap + summary(p))
	lines[0] = TextLine{Text: cut(strings.TrimPrefix(lines[0].Text, gap), columns), Color: colorPool, To: len(name)}
	if own := ownWords(p); own != "" {
		under(own)
	}
	if len(p.OwnGates) > 0 {
		under(strings.Join(pairs(p.OwnGates), gap))
	}
	if p.LockHeld != "" {
		under(text.OneLine(p.LockHeld))
	}
	if why := whyFirst(p); why != "" {
		under("the first in the line waits: " + text.OneLine(why))
	}
	return lines
}

// whyFirst is why the first waiter waits, if the numbers above do not tell. The others wait
// for it.
func whyFirst(p *Pool) string {
	for _, w := range p.Waiters {
		switch {
		case w.Place != 1:
		case w.reason == lease.Full && w.Weight > 1:
			return fmt.Sprintf("it takes %d slots at once", w.Weight)
		case w.reason == lease.Full, w.reason == lease.Ready, w.reason == lease.Drained:
			return ""
		default:
			return w.For
		}
	}
	return ""
}

func summary(v *Pool) string {
	s := fmt.Sprintf("%d in use", v.Used)
	switch {
	case v.Limit == nil:
	case *v.Limit == 0 && v.LimitFrom == "pool": // "1 of 0" reads like a bug
		s += ", draining (limit 0)"
	case v.LimitFrom == "pool":
		s = fmt.Sprintf("%d of %d in use (the pool's own limit)", v.Used, *v.Limit)
	default:
		s = fmt.Sprintf("%d of %d in use (limit of %s)", v.Used, *v.Limit, text.OneLine(v.LimitFrom))
	}
	waiting, stopped, kept := 0, 0, 0
	for _, w := range v.Waiters {
		switch {
		case w.Place > 0:
			waiting++
		case w.For == stoppedWaiter:
			stopped++
		default:
			kept++
		}
	}
	if waiting > 0 {
		s += fmt.Sprintf(", %d waiting", waiting)
	}
	if stopped > 0 {
		s += fmt.Sprintf(", %d stopped", stopped)
	}
	if kept > 0 {
		s += fmt.Sprintf(", %s kept", text.Plural(kept, "place"))
	}
	return s
}

// stoppedWaiter is the note of a store on a waiter that Ctrl-Z has suspended.
const stoppedWaiter = "stopped"
