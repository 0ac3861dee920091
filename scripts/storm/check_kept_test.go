//go:build linux

package main

import (
	"syscall"
	"testing"
)

// keeping makes b a shell that holds slot 1 from 120 on, has a job under the lease from 130 to
// 180 and another one from 200 to 250, begins to give the slot back at 295 and has done so at 300.
func keeping(l *Log) (b, first, second *Run) {
	b = l.runs[1]
	b.kept = true
	b.records[0].What = "held"
	b.records[0].Lease = "p/b0"
	b.records[1].What, b.records[1].At = "giving", 295
	given := b.records[1]
	given.What, given.At = "given", 300
	b.records = append(b.records, given)
	job := func(number int, launch, start, end, inner int64) *Run {
		c := &Run{id: under("b", number), parent: "b", pool: "p", limit: 2, weight: 1, onBusy: "fail", waits: true, launch: launch}
		for what, at := range map[string]int64{"launch": launch, "start": start, "end": end, "inner": inner} {
			c.records = append(c.records, Record{What: what, Run: c.id, Pool: "p", Slots: []int{1}, Token: 2, At: at})
		}
		l.runs = append(l.runs, c)
		return c
	}
	return b, job(0, 125, 130, 180, 182), job(1, 190, 200, 250, 252)
}

// without drops a record, at changes when it was written, ends with what code its berth ended.
func (r *Run) without(what string) {
	rest := r.records[:0:0]
	for _, rec := range r.records {
		if rec.What != what {
			rest = append(rest, rec)
		}
	}
	r.records = rest
}

func (r *Run) at(what string, at int64)   { r.record(what).At = at }
func (r *Run) ends(what string, code int) { r.record(what).Code = code }

func (r *Run) keeperSignal(at int64, sig syscall.Signal) {
	r.keeper = append(r.keeper, Signal{at: at, sig: sig, sent: true})
}

// TestCheckerOfKept is about slots that are held over several commands.
func TestCheckerOfKept(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		change     func(l *Log, b, first, second *Run)
	}{
		{"calm", "", func(*Log, *Run, *Run, *Run) {}},

		{"in use between two jobs", "limit: ", func(l *Log, _, _, _ *Run) { l.runs[2].give(3, 185, 310, 2); l.runs[0].give(1, 100, 250, 0) }},
		{"in use until it is given back", "slot: ", func(l *Log, _, _, _ *Run) { l.runs[3].give(4, 290, 400, 1) }},
		{"a time limit may have ended it", "", func(l *Log, b, _, _ *Run) { b.timeout, b.limited = true, 160; l.runs[3].give(4, 290, 400, 1) }},
		{"a time limit that was not over has not", "slot: ", func(l *Log, b, _, _ *Run) {
			b.timeout, b.limited = true, 400
			l.runs[3].give(4, 290, 400, 1)
		}},
		{"its keeper was killed", "", func(l *Log, b, _, _ *Run) {
			b.keeperSignal(260, syscall.SIGKILL)
			l.runs[3].give(4, 290, 400, 1)
		}},
		{"in use while a job lives, though its keeper was killed", "slot: ", func(l *Log, b, _, _ *Run) {
			b.keeperSignal(210, syscall.SIGKILL)
			l.runs[3].give(4, 240, 400, 1)
		}},
		{"in use while what has the lease in its environment lives", "slot: ", func(l *Log, b, _, second *Run) {
			b.keeperSignal(210, syscall.SIGKILL)
			second.ends("launch", bareCode)
			l.runs[3].give(4, 240, 400, 1)
		}},
		{"what was started with it when its keeper was dead does not hold it", "", func(l *Log, b, _, second *Run) {
			b.keeperSignal(195, syscall.SIGKILL)
			second.ends("launch", bareCode)
			l.runs[3].give(4, 240, 400, 1)
		}},
		{"what only has it in its environment does not outlast a stop", "", func(l *Log, b, _, second *Run) {
			l.stops = []Stop{{"p", "b", 205, 300}}
			second.ends("launch", bareCode)
			l.runs[3].give(4, 240, 400, 1)
		}},
		{"two at once", "adopt: ", func(_ *Log, _, _, second *Run) { second.at("launch", 140); second.at("start", 150) }},
		{"the second one is refused", "", func(_ *Log, _, first, second *Run) {
			second.at("launch", 140)
			second.at("inner", 150)
			second.ends("inner", 75)
			second.without("start")
			second.without("end")
		}},
		{"refused though it is alone", "exit: ", func(_ *Log, _, _, second *Run) {
			second.ends("inner", 75)
			second.without("start")
			second.without("end")
		}},
		{"refused because the job of a killed one lives", "", func(_ *Log, _, first, second *Run) {
			first.signal(140, syscall.SIGKILL, true)
			first.ends("inner", 137)
			first.at("inner", 141)
			second.ends("inner", 75)
			second.without("start")
			second.without("end")
		}},
		{"another slot than that of the lease", "adopt: ", func(_ *Log, _, _, second *Run) { second.record("start").Slots = []int{0} }},
		{"another token than that of the lease", "adopt: ", func(_ *Log, _, _, second *Run) { second.record("start").Token = 7 }},
		{"the lease is over", "", func(_ *Log, _, _, second *Run) {
			second.at("launch", 310)
			second.at("inner", 312)
			second.ends("inner", 74)
			second.without("start")
			second.without("end")
		}},
		{"the lease is over, and a job starts", "adopt: ", func(_ *Log, b, _, second *Run) {
			second.at("launch", 302)
			second.at("start", 303)
			second.at("end", 304)
			second.at("inner", 305)
		}},
		{"the lease is over, and the code is another", "adopt: ", func(_ *Log, _, _, second *Run) {
			second.at("launch", 310)
			second.at("inner", 312)
			second.ends("inner", 75)
			second.without("start")
			second.without("end")
		}},
		{"74 while it is held", "exit: ", func(_ *Log, _, _, second *Run) {
			second.ends("inner", 74)
			second.without("start")
			second.without("end")
		}},
		{"a time limit", "", func(_ *Log, b, _, second *Run) {
			b.timeout, b.limited = true, 100
			second.ends("inner", 124)
			second.without("end")
		}},
		{"124 without one", "exit: ", func(_ *Log, _, _, second *Run) { second.ends("inner", 124) }},
		{"a job is lost with the keeper", "lost: ", func(_ *Log, b, _, second *Run) {
			b.keeperSignal(210, syscall.SIGKILL)
			second.ends("inner", 143)
			second.without("end")
		}},
		{"a job is lost with the shell", "lost: ", func(_ *Log, b, _, second *Run) {
			b.signal(210, syscall.SIGKILL, true)
			b.exit, b.killed = 137, true
			second.without("end")
			second.without("inner")
		}},
		{"stopped", "", func(l *Log, b, _, second *Run) {
			l.stops = []Stop{{"p", "b", 205, 300}}
			second.ends("inner", 143)
			second.without("end")
		}},
		{"the release fails", "release: ", func(_ *Log, b, _, _ *Run) { b.ends("given", 1) }},
		{"it says 0 and has no slot", "exit: ", func(_ *Log, b, _, _ *Run) { b.without("held"); b.without("giving"); b.without("given") }},
		{"shown after it was given back", "leak: ", func(l *Log, b, _, _ *Run) {
			l.views = append(l.views, View{pool: "p", from: 301, to: 302, holders: []Holder{{run: "b", state: "reserved", slots: 1, asks: 2}}})
			b.gone = 500
		}},
		{"shown after all of it had ended", "leak: ", func(l *Log, b, _, _ *Run) {
			b.without("giving")
			b.without("given")
			l.views = append(l.views, View{pool: "p", from: 311, to: 312, holders: []Holder{{run: "b", state: "orphaned", slots: 1, asks: 2}}})
		}},
	} {
		l := calmStorm()
		b, first, second := keeping(l)
		checkCase{tt.name, tt.want, func(l *Log, _, _, _, _ *Run) {
			tt.change(l, b, first, second)
			for _, c := range []*Run{first, second} {
				c.launch = c.record("launch").At
			}
		}}.check(t, l)
	}
}
