//go:build linux

package main

import (
	"slices"
	"strings"
	"syscall"
	"testing"
)

// calmStorm is a small storm in which nothing is wrong, in a pool of two:
//
//	a  slot 0 from 100 to 200, b  slot 1 from 120 to 300,
//	c  waits, seen in the line from 150 on, slot 0 from 210 to 310,
//	d  launched after c was seen, slot 1 from 320 to 400
//
// The time is in whatever unit, token and start go up together.
func calmStorm() *Log {
	l := &Log{}
	for i, r := range []struct {
		id                       string
		launch, start, end, slot int64
	}{{"a", 90, 100, 200, 0}, {"b", 110, 120, 300, 1}, {"c", 130, 210, 310, 0}, {"d", 170, 320, 400, 1}} {
		l.runs = append(l.runs, &Run{
			id: r.id, pool: "p", limit: 2, weight: 1, onBusy: "fail", launch: r.launch, ended: r.end + 5, gone: r.end + 5,
			records: []Record{
				{What: "start", Run: r.id, Pool: "p", Slots: []int{int(r.slot)}, Token: uint64(i + 1), At: r.start},
				{What: "end", Run: r.id, Pool: "p", Slots: []int{int(r.slot)}, Token: uint64(i + 1), At: r.end},
			},
		})
	}
	l.views = []View{
		{pool: "p", from: 145, to: 150, holders: []Holder{{run: "a", state: "running", slots: 1, asks: 2}, {run: "b", state: "running", slots: 1, asks: 2}}, waiters: []Waiter{{run: "c", place: 1, priority: 0}}},
		{pool: "p", from: 180, to: 185, holders: []Holder{{run: "a", state: "running", slots: 1, asks: 2}, {run: "b", state: "running", slots: 1, asks: 2}}, waiters: []Waiter{{run: "c", place: 1, priority: 0}, {run: "d", place: 2, priority: 0}}},
	}
	return l
}

// give changes when and with what a run started.
func (r *Run) give(token uint64, start, end int64, slots ...int) {
	for i := range r.records {
		r.records[i].Token, r.records[i].Slots, r.records[i].At = token, slots, end
	}
	r.records[0].At = start
	r.ended, r.gone = end+5, end+5
}

func (r *Run) signal(at int64, sig syscall.Signal, berth bool) {
	r.signals = append(r.signals, Signal{at: at, sig: sig, berth: berth, sent: true})
}

// cut makes the job end without a word.
func (r *Run) cut() { r.records = r.records[:1] }

// checkCase is a change of a calm storm and what the checker says of it.
type checkCase struct {
	name, want string // want "": nothing is wrong
	change     func(l *Log, a, b, c, d *Run)
}

func (tt checkCase) check(t *testing.T, l *Log) {
	t.Run(strings.ReplaceAll(tt.name, " ", "_"), func(t *testing.T) {
		tt.change(l, l.runs[0], l.runs[1], l.runs[2], l.runs[3])
		v := checkStorm(l)
		found := slices.ContainsFunc(v.bad, func(b string) bool { return strings.HasPrefix(b, tt.want) })
		if tt.want == "" && len(v.bad) > 0 || tt.want != "" && !found {
			t.Errorf("want %q, the checker says:\n%s", tt.want, strings.Join(v.bad, "\n"))
		}
	})
}

// in gives the time a unit.
func (l *Log) in(unit int64) {
	for _, r := range l.runs {
		r.launch, r.ended, r.gone = r.launch*unit, r.ended*unit, r.gone*unit
		for i := range r.records {
			r.records[i].At *= unit
		}
	}
	for i := range l.views {
		l.views[i].from, l.views[i].to = l.views[i].from*unit, l.views[i].to*unit
	}
}

// inside is a run inside o, from 140 to 150, with its own token or o's.
func inside(o *Run, token uint64) *Run {
	n := &Run{id: innerRun(o.id), parent: o.id, pool: "p", limit: 2, weight: 1, onBusy: "fail", waits: true, launch: 130}
	for i, what := range []string{"start", "end", "inner"} {
		n.records = append(n.records, Record{What: what, Run: n.id, Pool: "p", Slots: o.records[0].Slots, Token: token, At: 140 + 5*int64(i)})
	}
	return n
}
