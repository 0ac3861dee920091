//go:build linux

package main

import (
	"syscall"
	"testing"
)

func TestChecker(t *testing.T) {
	one, zero := 1, 0
	for _, tt := range []checkCase{
		{"calm", "", func(*Log, *Run, *Run, *Run, *Run) {}},

		{"more than -n", "limit: ", func(_ *Log, _, _, c, _ *Run) { c.give(3, 150, 310, 2) }},
		{"more than -n of another", "limit: ", func(_ *Log, _, b, _, _ *Run) { b.limit = 1 }},
		{"more by weight", "limit: ", func(_ *Log, _, b, _, _ *Run) { b.weight = 2; b.give(2, 120, 300, 1, 2) }},
		{"a killed job counts until the kill", "limit: ", func(_ *Log, a, b, _, _ *Run) {
			a.cut()
			a.signal(160, syscall.SIGKILL, false)
			a.exit, a.limit = 137, 1
		}},
		{"and not after it", "", func(_ *Log, a, b, _, _ *Run) {
			a.cut()
			a.signal(110, syscall.SIGKILL, false)
			a.exit, a.limit = 137, 1
		}},
		{"an orphan counts", "limit: ", func(_ *Log, a, b, c, _ *Run) {
			a.signal(105, syscall.SIGKILL, true)
			a.exit, a.killed, a.ended = 137, true, 106
			c.give(3, 150, 310, 2)
		}},
		{"a late start record does not hide a holder", "limit: ", func(_ *Log, a, b, c, _ *Run) {
			a.give(1, 205, 240, 0)
			c.give(3, 204, 310, 2)
		}},
		{"what a tree leaves behind counts", "slot: ", func(_ *Log, a, _, _, _ *Run) {
			a.tree = true
			a.records = append(a.records, Record{What: "left", At: 250})
		}},
		{"what a command leaves behind does not", "", func(_ *Log, a, _, _, _ *Run) {
			a.records = append(a.records, Record{What: "left", At: 250})
		}},
		{"one slot twice", "slot: ", func(_ *Log, _, b, _, _ *Run) { b.give(2, 120, 300, 0) }},
		{"fewer slots than asked for", "slot: ", func(_ *Log, _, b, _, _ *Run) { b.weight = 2 }},
		{"ls shows too many", "limit: ", func(l *Log, _, _, _, _ *Run) { l.views[0].holders[0].asks = 1 }},

		{"own limit", "limit: ", func(l *Log, _, _, _, _ *Run) {
			l.limits = []Limit{{"p", &one, 10, 20}}
		}},
		{"own limit, drained", "limit: ", func(l *Log, _, _, _, _ *Run) {
			l.limits = []Limit{{"p", &zero, 310, 315}}
			l.views[1].from, l.views[1].to = 316, 318 // d still waits then
		}},
		{"own limit, set while they run", "", func(l *Log, _, _, _, _ *Run) {
			l.limits = []Limit{{"p", &one, 112, 114}, {"p", nil, 205, 208}}
		}},

		{"token twice", "token: ", func(_ *Log, _, b, _, _ *Run) { b.give(1, 120, 300, 1) }},
		{"token goes back", "token: ", func(_ *Log, a, _, _, _ *Run) { a.give(9, 100, 105, 0) }},

		{"overtaken in the line", "order: ", func(_ *Log, _, _, c, d *Run) { d.give(3, 305, 400, 1); c.give(4, 320, 330, 0) }},
		{"overtaken by a newcomer", "order: ", func(l *Log, _, _, c, d *Run) {
			l.views = l.views[:1]
			d.give(3, 205, 208, 0)
			c.give(4, 210, 310, 0)
		}},
		{"passed by a more urgent one", "", func(l *Log, _, _, c, d *Run) {
			l.views, d.priority = l.views[:1], -5
			d.give(3, 205, 208, 0)
			c.give(4, 210, 310, 0)
		}},
		{"passed by a place kept for a key", "", func(l *Log, _, b, c, d *Run) {
			l.views, b.key, d.key = l.views[:1], "k", "k"
			d.give(3, 205, 208, 0)
			c.give(4, 210, 310, 0)
		}},
		{"passed while frozen", "", func(_ *Log, _, _, c, d *Run) {
			c.signal(160, syscall.SIGSTOP, true)
			d.give(3, 305, 315, 1)
			c.give(4, 320, 330, 0)
		}},

		{"strange exit code", "exit: ", func(_ *Log, a, _, _, _ *Run) { a.exit = 3 }},
		{"busy without a limit to the wait", "exit: ", func(_ *Log, a, _, _, _ *Run) { a.records, a.exit = nil, 75 }},
		{"busy", "", func(_ *Log, a, _, _, _ *Run) { a.records, a.exit, a.waits = nil, 75, true }},
		{"skipped", "", func(_ *Log, a, _, _, _ *Run) { a.records, a.waits, a.onBusy = nil, true, "skip" }},
		{"not started and says 0", "exit: ", func(_ *Log, a, _, _, _ *Run) { a.records = nil }},
		{"too heavy for the pool", "", func(l *Log, a, _, _, _ *Run) {
			l.limits = []Limit{{"p", &one, 92, 93}, {"p", nil, 94, 95}}
			a.records, a.exit, a.weight = nil, 125, 2
		}},
		{"125 for no reason", "exit: ", func(_ *Log, a, _, _, _ *Run) { a.records, a.exit = nil, 125 }},
		{"stopped", "", func(l *Log, a, _, _, _ *Run) {
			l.stops = []Stop{{"p", "a", 95, 300}}
			a.records, a.exit = nil, 75
		}},
		{"time limit", "", func(_ *Log, a, _, _, _ *Run) { a.cut(); a.exit, a.timeout = 124, true }},

		{"task lost", "lost: ", func(_ *Log, a, _, _, _ *Run) { a.cut(); a.exit, a.waits, a.timeout = 124, true, false }},
		{"task lost with its berth", "lost: ", func(_ *Log, a, _, _, _ *Run) {
			a.cut()
			a.signal(150, syscall.SIGKILL, true)
			a.exit = 137
		}},
		{"run twice", "lost: ", func(_ *Log, a, _, _, _ *Run) { a.records = append(a.records, a.records[0]) }},
		{"did not end", "lost: ", func(_ *Log, a, _, _, _ *Run) { a.ended = 0 }},

		{"slot leaked", "leak: ", func(l *Log, _, _, _, _ *Run) {
			l.views = append(l.views, View{pool: "p", from: 206, to: 207, holders: []Holder{{run: "a", state: "running", slots: 1, asks: 2}}})
		}},
		{"slot of an orphan", "", func(l *Log, a, _, _, _ *Run) {
			l.views = append(l.views, View{pool: "p", from: 206, to: 207, holders: []Holder{{run: "a", state: "orphaned", slots: 1, asks: 2}}})
			a.gone = 0
		}},
		{"slot of no known run", "leak: ", func(l *Log, _, _, _, _ *Run) {
			l.views = append(l.views, View{pool: "p", from: 206, to: 207, holders: []Holder{{run: "", state: "damaged", slots: 1, asks: 0}}})
		}},
		{"slot of no known run, left by a berth that was killed", "", func(l *Log, a, _, _, _ *Run) {
			l.views = append(l.views, View{pool: "p", from: 206, to: 207, holders: []Holder{{run: "", state: "damaged", slots: 1, asks: 0}}})
			a.signal(203, syscall.SIGKILL, true)
			a.exit, a.killed, a.gone = 137, true, 250
		}},
		{"ticket leaked", "leak: ", func(l *Log, _, _, _, _ *Run) {
			l.views = append(l.views, View{pool: "p", from: 206, to: 207, waiters: []Waiter{{run: "a", place: 1, priority: 0}}})
		}},

		{"inside, in the slot of the outer", "", func(l *Log, a, _, _, _ *Run) { l.runs = append(l.runs, inside(a, 1)) }},
		{"inside, in a slot too many", "limit: ", func(l *Log, _, b, _, _ *Run) {
			n := inside(b, 7)
			n.records[0].Slots, n.records[0].At, n.records[1].At = []int{5}, 215, 216
			l.runs = append(l.runs, n)
		}},
		{"inside, with a strange exit code", "exit: ", func(l *Log, a, _, _, _ *Run) {
			n := inside(a, 1)
			n.records[2].Code = 9
			l.runs = append(l.runs, n)
		}},
		{"inside, refused for no reason", "exit: ", func(l *Log, a, _, _, _ *Run) {
			n := inside(a, 1)
			n.records = []Record{{What: "inner", Code: 125, At: 150}}
			l.runs, a.takes, a.takesLimit = append(l.runs, n), true, 2
		}},
		{"inside, refused because it would wait for itself", "", func(l *Log, a, _, _, _ *Run) {
			n := inside(a, 1)
			n.records = []Record{{What: "inner", Code: 125, At: 150}}
			l.runs, a.takes, a.takesLimit = append(l.runs, n), true, 1
		}},
	} {
		tt.check(t, calmStorm())
	}
}
