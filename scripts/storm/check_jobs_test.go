//go:build linux

package main

import (
	"syscall"
	"testing"
)

// severally has b take a slot of pool q, too, from 120 to 300.
func severally(b *Run) { b.more = []Share{{"q", 1}} }

// TestCheckerOfSeveral is about runs that take slots of two pools.
func TestCheckerOfSeveral(t *testing.T) {
	one, two := 1, 2
	// another is a run in pool q from 130 to 290, without -n.
	another := func(l *Log) *Run {
		o := &Run{id: "o", pool: "q", weight: 1, onBusy: "fail", launch: 125, ended: 295, gone: 295}
		for _, rec := range []Record{{What: "start", At: 130}, {What: "end", At: 290}} {
			rec.Run, rec.Pool, rec.Slots, rec.Token = "o", "q", []int{0}, 1
			o.records = append(o.records, rec)
		}
		l.runs = append(l.runs, o)
		return o
	}
	for _, tt := range []checkCase{
		{"within both limits", "", func(l *Log, _, b, _, _ *Run) {
			severally(b)
			another(l)
			l.limits = []Limit{{"q", &two, 10, 20}}
		}},
		{"more than the limit of the second pool", "limit: ", func(l *Log, _, b, _, _ *Run) {
			severally(b)
			another(l)
			l.limits = []Limit{{"q", &one, 10, 20}}
		}},
		{"more than the -n of another in the second pool", "limit: ", func(l *Log, _, b, _, _ *Run) {
			severally(b)
			another(l).limit = 1
		}},
		{"the second pool's limit was greater before", "", func(l *Log, _, b, _, _ *Run) {
			severally(b)
			another(l)
			l.limits = []Limit{{"q", &two, 10, 20}, {"q", &one, 126, 128}}
		}},
		{"a slot of the second pool is not given back", "leak: ", func(l *Log, _, b, _, _ *Run) {
			severally(b)
			l.views = append(l.views, View{pool: "q", from: 320, to: 325, holders: []Holder{{run: "b", state: "running", slots: 1}}})
		}},
		{"hangs in the line of the second pool", "lost: ", func(_ *Log, _, b, _, _ *Run) { severally(b); b.records, b.ended = nil, 0 }},
		{"no limit of its own", "", func(l *Log, _, b, _, _ *Run) {
			severally(b)
			b.records, b.exit, b.said = nil, 125, "berth: error: pool q has no limit of its own"
			l.limits = []Limit{{"q", nil, 10, 20}}
		}},
		{"no limit of its own, it says", "exit: ", func(l *Log, _, b, _, _ *Run) {
			severally(b)
			b.records, b.exit, b.said = nil, 125, "berth: error: pool q has no limit of its own"
			l.limits = []Limit{{"q", &two, 10, 20}}
		}},
		{"stopped in the second pool", "", func(l *Log, _, b, _, _ *Run) {
			severally(b)
			b.cut()
			b.exit = 143
			l.stops = []Stop{{"q", "b", 130, 300}}
		}},
		{"seen waiting in the second pool, with the slot of the first", "token: ", func(l *Log, a, b, _, _ *Run) {
			severally(b)
			l.views = append(l.views, View{pool: "q", from: 115, to: 116, waiters: []Waiter{{run: "b", place: 1}}})
			a.give(9, 100, 105, 0)
		}},
	} {
		tt.check(t, calmStorm())
	}
}

// TestCheckerOfJobs is about runs that make way for others.
func TestCheckerOfJobs(t *testing.T) {
	leave := func(r *Run, said string) { r.records, r.exit, r.ended, r.said = nil, 75, 200, said }
	end := func(r *Run, said string) { r.cut(); r.exit, r.said = 143, said }
	orphaned := func(r *Run) {
		r.cut()
		r.exit, r.ended, r.killed = 137, 165, true
		r.signals = []Signal{{at: 164, sig: syscall.SIGKILL, berth: true, sent: true}}
	}
	const superseded, replaced = "superseded by p/d0, started by ann", "was stopped by ann: replaced by p/d0, true"
	same := func(l *Log, runs ...*Run) {
		for _, r := range runs {
			r.job = "x"
		}
		l.views = append(l.views, View{pool: "p", from: 190, to: 191, waiters: []Waiter{{lease: "p/d0", run: "d", place: 1}}})
	}
	for _, tt := range []checkCase{
		{"superseded", "", func(l *Log, _, _, c, d *Run) { same(l, c, d); d.supersede = true; leave(c, superseded) }},
		{"superseded by another job", "supersede: ", func(l *Log, _, _, c, d *Run) {
			same(l, c)
			d.supersede = true
			leave(c, superseded)
		}},
		{"superseded by one that does not want that", "supersede: ", func(l *Log, _, _, c, d *Run) { same(l, c, d); leave(c, superseded) }},
		{"superseded by one that was launched later than it left", "supersede: ", func(l *Log, _, _, c, d *Run) {
			same(l, c, d)
			d.supersede = true
			leave(c, superseded)
			c.ended = 160
		}},
		{"superseded by one that ran already", "supersede: ", func(l *Log, a, _, c, _ *Run) {
			same(l, a, c)
			a.supersede = true
			leave(c, "superseded by p/a0, started by ann")
			l.views[0].holders[0].lease = "p/a0"
		}},
		{"superseded by nobody known", "supersede: ", func(l *Log, _, _, c, d *Run) { same(l, c, d); leave(c, "superseded by p/e0, started by ann") }},
		{"a running job is sent away", "supersede: ", func(l *Log, _, b, _, d *Run) { same(l, b, d); d.supersede = true; end(b, superseded) }},
		{"a running job ends with its successor", "lost: ", func(l *Log, _, b, _, d *Run) { same(l, b, d); d.supersede = true; b.cut() }},

		{"replaced", "", func(l *Log, _, b, _, d *Run) { same(l, b, d); d.onBusy = "replace"; end(b, replaced) }},
		{"replaced, of another job", "", func(l *Log, _, b, _, d *Run) { same(l, d); d.onBusy = "replace"; end(b, replaced) }},
		{"replaced, though there was one of the same job", "replace: ", func(l *Log, a, b, _, d *Run) {
			same(l, a, d)
			d.onBusy = "replace"
			end(b, replaced)
			b.ended, b.gone = 195, 195
		}},
		{"replaced by nobody", "exit: ", func(l *Log, _, b, _, _ *Run) { end(b, "") }},
		{"replaced by one that does not want that", "replace: ", func(l *Log, _, b, _, d *Run) { same(l, b, d); end(b, replaced) }},
		{"replaced by one that was launched later than it ended", "replace: ", func(l *Log, _, b, _, d *Run) {
			same(l, b, d)
			d.onBusy = "replace"
			end(b, replaced)
			b.ended, b.gone = 165, 165
		}},
		{"replaced when only its job was left", "", func(l *Log, _, b, _, d *Run) { same(l, b, d); d.onBusy = "replace"; orphaned(b) }},
		{"replaced by nobody when only its job was left", "lost: ", func(l *Log, _, b, _, d *Run) { same(l, b, d); orphaned(b) }},
		{"one that replaces finds the pool drained", "", func(_ *Log, _, _, _, d *Run) { d.onBusy, d.waits = "replace", true; d.records, d.exit = nil, 75 }},
	} {
		tt.check(t, calmStorm())
	}
}
