package cmd

import (
	"fmt"
	"strings"

	"berth/lease"
)

// heading is what is said of a pool before its jobs.
func heading(p *poolJSON, columns int) []textLine {
	name := oneLine(p.Pool)
	if p.unread {
		return []textLine{{text: cut(name+"  cannot be read", columns), color: colorPool, to: len(name)}}
	}
	lines := []textLine{{text: cut(name+gap+summary(p), columns), color: colorPool, to: len(name)}}
	under := func(s string) {
		all := []string{s}
		if columns > 0 {
			all = wrapped(s, columns-len(gap))
		}
		for _, l := range all {
			lines = append(lines, textLine{text: gap + l})
		}
	}
	if len(p.OwnGates) > 0 {
		under(strings.Join(pairs(p.OwnGates), gap))
	}
	if p.LockHeld != "" {
		under(oneLine(p.LockHeld))
	}
	if why := whyFirst(p); why != "" {
		under("the first in the line waits: " + oneLine(why))
	}
	return lines
}

// whyFirst is why the first in the line waits, where the numbers above do not tell. The
// others wait for him.
func whyFirst(p *poolJSON) string {
	for _, w := range p.Waiters {
		switch {
		case w.Place != 1:
		case w.reason == lease.Full && w.Weight > 1:
			return fmt.Sprintf("it takes %d slots at once", w.Weight)
		case w.reason == lease.Full || w.reason == lease.Ready:
			return ""
		default:
			return w.For
		}
	}
	return ""
}

func summary(v *poolJSON) string {
	s := fmt.Sprintf("%d in use", v.Used)
	if v.Limit != nil {
		s = fmt.Sprintf("%d of %d in use", v.Used, *v.Limit)
		if v.LimitFrom == "pool" {
			s += " (the pool's own limit" + ownWords(v) + ")"
		} else {
			s += " (limit of " + oneLine(v.LimitFrom) + ")"
		}
	}
	waiting, kept := 0, 0
	for _, w := range v.Waiters {
		if w.Place > 0 {
			waiting++
		} else {
			kept++
		}
	}
	if waiting > 0 {
		s += fmt.Sprintf(", %d waiting", waiting)
	}
	if kept > 0 {
		s += fmt.Sprintf(", %s kept", plural(kept, "place"))
	}
	return s
}
