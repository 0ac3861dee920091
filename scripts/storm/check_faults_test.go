//go:build linux

package main

import (
	"syscall"
	"testing"
	"time"
)

// TestCheckerFaults: what an emptied server and a bad network excuse, and what not.
// The unit is a millisecond.
func TestCheckerFaults(t *testing.T) {
	const ms = int64(time.Millisecond)
	add := func(l *Log, run, what string, from, to int64) {
		l.server.outages = append(l.server.outages, Outage{what: what, from: from * ms, to: to * ms, run: run})
	}
	look := func(l *Log, at int64, holders ...Holder) {
		l.views = append(l.views, View{pool: "p", from: at * ms, to: (at + 1) * ms, holders: holders})
	}
	// ghost shows a as a holder, so long after its end.
	ghost := func(l *Log, after int64) {
		l.views = append(l.views, View{pool: "p", from: l.runs[0].gone + after*ms, to: l.runs[0].gone + (after+1)*ms, holders: []Holder{{run: "a", state: "running", slots: 1, asks: 2}}})
	}
	lost := func(a *Run) { a.cut(); a.exit = codeLost }
	later := func(c, d *Run, at int64) {
		c.give(3, at*ms, (at+100)*ms, 0)
		d.give(4, (at+10)*ms, (at+90)*ms, 1)
	}
	overtaken := func(c, d *Run) { d.give(3, 305*ms, 400*ms, 1); c.give(4, 320*ms, 330*ms, 0) }
	for _, tt := range []checkCase{
		{"a start on an emptied server", "hold-off: ", func(l *Log, _, _, _, _ *Run) { add(l, "", "flushed", 140, 142) }},
		{"a start just before it is allowed", "hold-off: ", func(l *Log, _, _, c, d *Run) {
			add(l, "", "flushed", 140, 142)
			later(c, d, 30_100)
		}},
		{"and when it is allowed", "", func(l *Log, _, _, c, d *Run) {
			add(l, "", "flushed", 140, 142)
			later(c, d, 30_150)
		}},
		{"one that was not seen since may have been granted before", "", func(l *Log, _, _, _, _ *Run) { add(l, "", "flushed", 205, 206) }},
		{"but not so long before", "hold-off: ", func(l *Log, _, _, c, d *Run) {
			add(l, "", "flushed", 205, 206)
			later(c, d, 5_300)
		}},
		{"a restart asks for no more than before", "", func(l *Log, _, _, _, _ *Run) { add(l, "", "restarted", 140, 142) }},

		{"a holder is not shown", "hidden: ", func(l *Log, _, _, _, _ *Run) { l.views[0].holders = l.views[0].holders[:1] }},
		{"one that had just started", "", func(l *Log, _, b, _, _ *Run) {
			l.views[0].from = 119 * ms
			l.views[0].holders = l.views[0].holders[:1]
		}},
		{"one that may have lost its lease", "", func(l *Log, _, b, _, _ *Run) {
			l.views[0].holders = l.views[0].holders[:1]
			b.signal(130*ms, syscall.SIGSTOP, true)
		}},
		{"one that has not registered again yet", "", func(l *Log, _, b, c, d *Run) {
			add(l, "", "flushed", 195, 196)
			b.give(2, 120*ms, 40_000*ms, 1)
			later(c, d, 41_000)
			look(l, 30_100)
		}},
		{"one that should have", "hidden: ", func(l *Log, _, b, c, d *Run) {
			add(l, "", "flushed", 195, 196)
			b.give(2, 120*ms, 40_000*ms, 1)
			later(c, d, 41_000)
			look(l, 30_200)
		}},

		{"a late step takes a slot for a run that has left", "leak: ", func(l *Log, _, _, _, _ *Run) {
			add(l, "a", "late", 150, 4_200)
			ghost(l, 4_000)
		}},
		{"or a place", "leak: ", func(l *Log, a, _, _, _ *Run) {
			add(l, "a", "late", 150, 4_200)
			l.views = append(l.views, View{pool: "p", from: a.gone + 4_000*ms, to: a.gone + 4_001*ms, waiters: []Waiter{{run: "a", place: 1, priority: 0}}})
		}},
		{"or a place for one that has got its slots", "leak: ", func(l *Log, a, _, _, _ *Run) {
			add(l, "a", "late", 150, 4_200)
			l.views[1].waiters = append(l.views[1].waiters, Waiter{run: "a", place: 3, priority: 0})
		}},
		{"a step that is late on an emptied server", "", func(l *Log, _, _, c, d *Run) {
			add(l, "a", "late", 150, 4_200)
			add(l, "", "flushed", 210, 211)
			later(c, d, 31_000)
			ghost(l, 4_000)
		}},
		{"which does not last either", "leak: ", func(l *Log, _, _, c, d *Run) {
			add(l, "a", "late", 150, 4_200)
			add(l, "", "flushed", 210, 211)
			later(c, d, 31_000)
			ghost(l, 19_000)
		}},
		{"and says nothing of how it stood before it was served", "", func(l *Log, _, _, c, d *Run) {
			zero := 0
			add(l, "a", "late", 140, 4_200)
			add(l, "", "flushed", 160, 161)
			later(c, d, 31_000)
			l.views[1].waiters = append(l.views[1].waiters, Waiter{run: "a", place: 3, priority: 0})
			l.limits = []Limit{{"p", &zero, 95 * ms, 130 * ms}, {"p", nil, 190 * ms, 195 * ms}}
		}},
		{"a step that is late on a server that was emptied before", "leak: ", func(l *Log, _, _, c, d *Run) {
			add(l, "a", "late", 150, 4_200)
			add(l, "", "flushed", 110, 111)
			later(c, d, 31_000)
			ghost(l, 4_000)
		}},
		{"whose taking back was lost as well", "", func(l *Log, _, _, _, _ *Run) {
			add(l, "a", "late", 150, 4_200)
			add(l, "a", "reset", 190, 190)
			ghost(l, 4_000)
		}},
		{"which does not last", "leak: ", func(l *Log, _, _, _, _ *Run) {
			add(l, "a", "late", 150, 4_200)
			add(l, "a", "reset", 190, 190)
			ghost(l, 15_000)
		}},
		{"all were cut off", "", func(l *Log, _, _, _, _ *Run) {
			add(l, "a", "late", 150, 4_200)
			add(l, "", "cut", 190, 190)
			ghost(l, 4_000)
		}},
		{"the server was frozen for a moment", "leak: ", func(l *Log, _, _, _, _ *Run) {
			add(l, "", "frozen", 150, 1_100)
			ghost(l, 4_000)
		}},
		{"the server was frozen for longer than it could wait", "", func(l *Log, _, _, _, _ *Run) {
			add(l, "", "frozen", 150, 1_200)
			ghost(l, 4_000)
		}},
		{"and for long after", "leak: ", func(l *Log, _, _, _, _ *Run) {
			add(l, "", "frozen", 150, 1_200)
			ghost(l, 15_000)
		}},
		{"others had trouble", "leak: ", func(l *Log, _, _, _, _ *Run) {
			add(l, "a", "late", 150, 4_200)
			add(l, "b", "reset", 190, 190)
			ghost(l, 4_000)
		}},
		{"it had trouble long before its end", "leak: ", func(l *Log, a, _, c, d *Run) {
			a.give(1, 100*ms, 9_000*ms, 0)
			l.views[0].holders[0].run, l.views[0].holders[1].run = "b", "a"
			later(c, d, 9_100)
			add(l, "a", "late", 150, 3_800)
			add(l, "a", "reset", 190, 190)
			ghost(l, 4_000)
		}},

		{"lease lost when its heartbeat was late", "", func(l *Log, a, _, _, _ *Run) { lost(a); add(l, "a", "late", 100, 700) }},
		{"when its connection was half open", "", func(l *Log, a, _, _, _ *Run) { lost(a); add(l, "a", "deaf", 100, 700) }},
		{"when it was broken", "exit: ", func(l *Log, a, _, _, _ *Run) { lost(a); add(l, "a", "reset", 150, 150) }},
		{"when that of another run was late", "exit: ", func(l *Log, a, _, _, _ *Run) { lost(a); add(l, "b", "late", 100, 700) }},
		{"when the server was emptied", "exit: ", func(l *Log, a, _, c, d *Run) {
			lost(a)
			add(l, "", "flushed", 110, 115)
			later(c, d, 31_000)
		}},
		{"when its heartbeat had been late once", "exit: ", func(l *Log, a, _, c, d *Run) {
			a.give(1, 100*ms, 9_000*ms, 0)
			lost(a)
			later(c, d, 9_100)
			add(l, "a", "late", 100, 4_900)
		}},
		{"a long one in a short trouble", "exit: ", func(l *Log, a, _, _, _ *Run) {
			lost(a)
			a.ttl = 2 * time.Minute
			add(l, "a", "late", 100, 19_000)
		}},
		{"a long one in a long trouble", "", func(l *Log, a, _, _, _ *Run) {
			lost(a)
			a.ttl = 2 * time.Minute
			add(l, "a", "late", 100, 21_000)
		}},
		{"a long one that was killed", "", func(l *Log, a, _, _, _ *Run) {
			a.cut()
			a.signal(150*ms, syscall.SIGKILL, true)
			a.exit, a.killed, a.ended, a.gone, a.ttl = 137, true, 151*ms, 160*ms, 2*time.Minute
			ghost(l, 180_000)
		}},
		{"and stays", "leak: ", func(l *Log, a, _, _, _ *Run) {
			a.cut()
			a.signal(150*ms, syscall.SIGKILL, true)
			a.exit, a.killed, a.ended, a.gone, a.ttl = 137, true, 151*ms, 160*ms, 2*time.Minute
			ghost(l, 191_000)
		}},

		{"overtaken while it was held back", "", func(l *Log, _, _, c, d *Run) { overtaken(c, d); add(l, "c", "late", 150, 4_000) }},
		{"overtaken while others were", "order: ", func(l *Log, _, _, c, d *Run) { overtaken(c, d); add(l, "d", "late", 150, 4_000) }},
		{"overtaken after the server was emptied", "order: ", func(l *Log, _, _, c, d *Run) {
			later(c, d, 30_150)
			c.records[0].Token, d.records[0].Token = 4, 3
			add(l, "", "flushed", 140, 142)
		}},
	} {
		l := calmStorm()
		l.in(ms)
		rules := serverKinds["redis"]
		l.server = &rules
		tt.check(t, l)
	}
}
