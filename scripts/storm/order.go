//go:build linux

package main

import (
	"cmp"
	"slices"
)

// order: a run that stood in the line goes before those that came later and are
// not more urgent. Two witnesses: one list in which both stand, and a list from
// before the other was even launched.
func (v *Verdict) order(l *Log, pool string, grants []*Grant) {
	of := map[string]*Grant{}
	for _, g := range grants {
		of[g.run.id] = g
	}
	pairs := map[[2]*Grant]bool{}
	check := func(a, b *Grant, how string) {
		if a == nil || b == nil || a == b || pairs[[2]*Grant{a, b}] || l.disturbed(a) {
			return
		}
		pairs[[2]*Grant{a, b}] = true
		if a.token > b.token {
			v.badf("order", "pool %s: run %s (token %d) overtook run %s (token %d), %s", pool, b.run.id, b.token, a.run.id, a.token, how)
		}
	}
	type place struct {
		at       int64
		priority int
	}
	first := map[*Grant]place{}
	for _, w := range l.views {
		var line []*Grant
		for _, e := range w.waiters {
			g := of[e.run]
			if w.pool != pool || e.place < 1 || g == nil || w.from >= g.run.granted().At {
				continue // or it is the place of a run that was served before
			}
			for _, a := range line {
				check(a, g, "which stood before it in the line")
			}
			line = append(line, g)
			if _, ok := first[g]; !ok {
				first[g] = place{w.to, e.priority}
			}
		}
	}
	late := slices.SortedFunc(slices.Values(grants), func(a, b *Grant) int { return cmp.Compare(a.run.launch, b.run.launch) })
	for a, s := range first {
		i, _ := slices.BinarySearchFunc(late, s.at, func(g *Grant, at int64) int { return cmp.Compare(g.run.launch, at) })
		for ; i < len(late) && late[i].run.launch < a.run.granted().At; i++ {
			if b := late[i]; b.run.priority >= s.priority && !l.cameBack(b.run) {
				check(a, b, "which was seen in the line before it was launched")
			}
		}
	}
	v.pairs += len(pairs)
}

// cameBack: a run with a key may have got a place that was kept for it.
func (l *Log) cameBack(r *Run) bool {
	return r.key != "" && slices.ContainsFunc(l.runs, func(o *Run) bool {
		return o != r && o.key == r.key && o.launch < r.launch
	})
}

// disturbed: something other than the line may have kept it from its turn.
func (l *Log) disturbed(g *Grant) bool {
	until := g.run.granted().At
	if l.server.passedOver(g.run, g.run.launch, until) {
		return true
	}
	for r := g.run; r != nil; r = l.byID[r.parent] {
		if r != g.run && r.timeout {
			return true // which would have ended the runs inside as well
		}
		if slices.ContainsFunc(slices.Concat(r.signals, r.keeper), func(s Signal) bool { return s.at <= until }) || l.stopped(r, until) {
			return true
		}
	}
	return false
}

// stopped: a 'berth stop' from before that instant may have meant it.
func (l *Log) stopped(r *Run, until int64) bool {
	return slices.ContainsFunc(l.stops, func(s Stop) bool {
		return r.in(s.pool) && (s.run == "" || s.run == r.id) && s.from <= until &&
			s.to >= r.launch && (r.gone == 0 || s.from <= r.gone)
	})
}
