//go:build unix

package cmd

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// calmStorm is a small storm in which nothing is wrong, in a pool of two:
//
//	a  slot 0 from 100 to 200, b  slot 1 from 120 to 300,
//	c  waits, seen in the line from 150 on, slot 0 from 210 to 310,
//	d  launched after c was seen, slot 1 from 320 to 400
//
// The time is in whatever unit, token and start go up together.
func calmStorm() *stormLog {
	l := &stormLog{}
	for i, r := range []struct {
		id                       string
		launch, start, end, slot int64
	}{{"a", 90, 100, 200, 0}, {"b", 110, 120, 300, 1}, {"c", 130, 210, 310, 0}, {"d", 170, 320, 400, 1}} {
		l.runs = append(l.runs, &stormRun{
			id: r.id, pool: "p", limit: 2, weight: 1, onBusy: "fail", launch: r.launch, ended: r.end + 5, gone: r.end + 5,
			records: []stormRecord{
				{What: "start", Run: r.id, Pool: "p", Slots: []int{int(r.slot)}, Token: uint64(i + 1), At: r.start},
				{What: "end", Run: r.id, Pool: "p", Slots: []int{int(r.slot)}, Token: uint64(i + 1), At: r.end},
			},
		})
	}
	l.views = []stormView{
		{pool: "p", from: 145, to: 150, holders: []stormHolder{{"a", "running", 1, 2}, {"b", "running", 1, 2}}, waiters: []stormWaiter{{"c", 1, 0}}},
		{pool: "p", from: 180, to: 185, holders: []stormHolder{{"a", "running", 1, 2}, {"b", "running", 1, 2}}, waiters: []stormWaiter{{"c", 1, 0}, {"d", 2, 0}}},
	}
	return l
}

// give changes when and with what a run started.
func (r *stormRun) give(token uint64, start, end int64, slots ...int) {
	for i := range r.records {
		r.records[i].Token, r.records[i].Slots, r.records[i].At = token, slots, end
	}
	r.records[0].At = start
	r.ended, r.gone = end+5, end+5
}

func (r *stormRun) signal(at int64, sig syscall.Signal, berth bool) {
	r.signals = append(r.signals, stormSignal{at: at, sig: sig, berth: berth, sent: true})
}

// cut makes the job end without a word.
func (r *stormRun) cut() { r.records = r.records[:1] }

func TestStormChecker(t *testing.T) {
	one, zero := 1, 0
	for _, tt := range []stormCase{
		{"calm", "", func(*stormLog, *stormRun, *stormRun, *stormRun, *stormRun) {}},

		{"more than -n", "limit: ", func(_ *stormLog, _, _, c, _ *stormRun) { c.give(3, 150, 310, 2) }},
		{"more than -n of another", "limit: ", func(_ *stormLog, _, b, _, _ *stormRun) { b.limit = 1 }},
		{"more by weight", "limit: ", func(_ *stormLog, _, b, _, _ *stormRun) { b.weight = 2; b.give(2, 120, 300, 1, 2) }},
		{"a killed job counts until the kill", "limit: ", func(_ *stormLog, a, b, _, _ *stormRun) {
			a.cut()
			a.signal(160, syscall.SIGKILL, false)
			a.exit, a.limit = 137, 1
		}},
		{"and not after it", "", func(_ *stormLog, a, b, _, _ *stormRun) {
			a.cut()
			a.signal(110, syscall.SIGKILL, false)
			a.exit, a.limit = 137, 1
		}},
		{"an orphan counts", "limit: ", func(_ *stormLog, a, b, c, _ *stormRun) {
			a.signal(105, syscall.SIGKILL, true)
			a.exit, a.killed, a.ended = 137, true, 106
			c.give(3, 150, 310, 2)
		}},
		{"a late start record does not hide a holder", "limit: ", func(_ *stormLog, a, b, c, _ *stormRun) {
			a.give(1, 205, 240, 0)
			c.give(3, 204, 310, 2)
		}},
		{"what a tree leaves behind counts", "slot: ", func(_ *stormLog, a, _, _, _ *stormRun) {
			a.tree = true
			a.records = append(a.records, stormRecord{What: "left", At: 250})
		}},
		{"what a command leaves behind does not", "", func(_ *stormLog, a, _, _, _ *stormRun) {
			a.records = append(a.records, stormRecord{What: "left", At: 250})
		}},
		{"one slot twice", "slot: ", func(_ *stormLog, _, b, _, _ *stormRun) { b.give(2, 120, 300, 0) }},
		{"fewer slots than asked for", "slot: ", func(_ *stormLog, _, b, _, _ *stormRun) { b.weight = 2 }},
		{"ls shows too many", "limit: ", func(l *stormLog, _, _, _, _ *stormRun) { l.views[0].holders[0].asks = 1 }},

		{"own limit", "limit: ", func(l *stormLog, _, _, _, _ *stormRun) {
			l.limits = []stormLimit{{"p", &one, 10, 20}}
		}},
		{"own limit, drained", "limit: ", func(l *stormLog, _, _, _, _ *stormRun) {
			l.limits = []stormLimit{{"p", &zero, 310, 315}}
			l.views[1].from, l.views[1].to = 316, 318 // d still waits then
		}},
		{"own limit, set while they run", "", func(l *stormLog, _, _, _, _ *stormRun) {
			l.limits = []stormLimit{{"p", &one, 112, 114}, {"p", nil, 205, 208}}
		}},

		{"token twice", "token: ", func(_ *stormLog, _, b, _, _ *stormRun) { b.give(1, 120, 300, 1) }},
		{"token goes back", "token: ", func(_ *stormLog, a, _, _, _ *stormRun) { a.give(9, 100, 105, 0) }},

		{"overtaken in the line", "order: ", func(_ *stormLog, _, _, c, d *stormRun) { d.give(3, 305, 400, 1); c.give(4, 320, 330, 0) }},
		{"overtaken by a newcomer", "order: ", func(l *stormLog, _, _, c, d *stormRun) {
			l.views = l.views[:1]
			d.give(3, 205, 208, 0)
			c.give(4, 210, 310, 0)
		}},
		{"passed by a more urgent one", "", func(l *stormLog, _, _, c, d *stormRun) {
			l.views, d.priority = l.views[:1], -5
			d.give(3, 205, 208, 0)
			c.give(4, 210, 310, 0)
		}},
		{"passed by a place kept for a key", "", func(l *stormLog, _, b, c, d *stormRun) {
			l.views, b.key, d.key = l.views[:1], "k", "k"
			d.give(3, 205, 208, 0)
			c.give(4, 210, 310, 0)
		}},
		{"passed while frozen", "", func(_ *stormLog, _, _, c, d *stormRun) {
			c.signal(160, syscall.SIGSTOP, true)
			d.give(3, 305, 315, 1)
			c.give(4, 320, 330, 0)
		}},

		{"strange exit code", "exit: ", func(_ *stormLog, a, _, _, _ *stormRun) { a.exit = 3 }},
		{"busy without a limit to the wait", "exit: ", func(_ *stormLog, a, _, _, _ *stormRun) { a.records, a.exit = nil, 75 }},
		{"busy", "", func(_ *stormLog, a, _, _, _ *stormRun) { a.records, a.exit, a.waits = nil, 75, true }},
		{"skipped", "", func(_ *stormLog, a, _, _, _ *stormRun) { a.records, a.waits, a.onBusy = nil, true, "skip" }},
		{"not started and says 0", "exit: ", func(_ *stormLog, a, _, _, _ *stormRun) { a.records = nil }},
		{"too heavy for the pool", "", func(l *stormLog, a, _, _, _ *stormRun) {
			l.limits = []stormLimit{{"p", &one, 92, 93}, {"p", nil, 94, 95}}
			a.records, a.exit, a.weight = nil, 125, 2
		}},
		{"125 for no reason", "exit: ", func(_ *stormLog, a, _, _, _ *stormRun) { a.records, a.exit = nil, 125 }},
		{"stopped", "", func(l *stormLog, a, _, _, _ *stormRun) {
			l.stops = []stormStop{{"p", "a", 95, 300}}
			a.records, a.exit = nil, 75
		}},
		{"time limit", "", func(_ *stormLog, a, _, _, _ *stormRun) { a.cut(); a.exit, a.timeout = 124, true }},

		{"task lost", "lost: ", func(_ *stormLog, a, _, _, _ *stormRun) { a.cut(); a.exit, a.waits, a.timeout = 124, true, false }},
		{"task lost with its berth", "lost: ", func(_ *stormLog, a, _, _, _ *stormRun) {
			a.cut()
			a.signal(150, syscall.SIGKILL, true)
			a.exit = 137
		}},
		{"run twice", "lost: ", func(_ *stormLog, a, _, _, _ *stormRun) { a.records = append(a.records, a.records[0]) }},
		{"did not end", "lost: ", func(_ *stormLog, a, _, _, _ *stormRun) { a.ended = 0 }},

		{"slot leaked", "leak: ", func(l *stormLog, _, _, _, _ *stormRun) {
			l.views = append(l.views, stormView{pool: "p", from: 206, to: 207, holders: []stormHolder{{"a", "running", 1, 2}}})
		}},
		{"slot of an orphan", "", func(l *stormLog, a, _, _, _ *stormRun) {
			l.views = append(l.views, stormView{pool: "p", from: 206, to: 207, holders: []stormHolder{{"a", "orphaned", 1, 2}}})
			a.gone = 0
		}},
		{"slot of nobody", "leak: ", func(l *stormLog, _, _, _, _ *stormRun) {
			l.views = append(l.views, stormView{pool: "p", from: 206, to: 207, holders: []stormHolder{{"", "damaged", 1, 0}}})
		}},
		{"slot of nobody, left by a berth that was killed", "", func(l *stormLog, a, _, _, _ *stormRun) {
			l.views = append(l.views, stormView{pool: "p", from: 206, to: 207, holders: []stormHolder{{"", "damaged", 1, 0}}})
			a.signal(203, syscall.SIGKILL, true)
			a.exit, a.killed, a.gone = 137, true, 250
		}},
		{"ticket leaked", "leak: ", func(l *stormLog, _, _, _, _ *stormRun) {
			l.views = append(l.views, stormView{pool: "p", from: 206, to: 207, waiters: []stormWaiter{{"a", 1, 0}}})
		}},

		{"inside, in the slot of the outer", "", func(l *stormLog, a, _, _, _ *stormRun) { l.runs = append(l.runs, inside(a, 1)) }},
		{"inside, in a slot too many", "limit: ", func(l *stormLog, _, b, _, _ *stormRun) {
			n := inside(b, 7)
			n.records[0].Slots, n.records[0].At, n.records[1].At = []int{5}, 215, 216
			l.runs = append(l.runs, n)
		}},
		{"inside, with a strange exit code", "exit: ", func(l *stormLog, a, _, _, _ *stormRun) {
			n := inside(a, 1)
			n.records[2].Code = 9
			l.runs = append(l.runs, n)
		}},
		{"inside, refused for no reason", "exit: ", func(l *stormLog, a, _, _, _ *stormRun) {
			n := inside(a, 1)
			n.records = []stormRecord{{What: "inner", Code: 125, At: 150}}
			l.runs, a.takes, a.takesLimit = append(l.runs, n), true, 2
		}},
		{"inside, refused because it would wait for itself", "", func(l *stormLog, a, _, _, _ *stormRun) {
			n := inside(a, 1)
			n.records = []stormRecord{{What: "inner", Code: 125, At: 150}}
			l.runs, a.takes, a.takesLimit = append(l.runs, n), true, 1
		}},
	} {
		tt.check(t, calmStorm())
	}
}

// stormCase is a change of a calm storm and what the checker says of it.
type stormCase struct {
	name, want string // want "": nothing is wrong
	change     func(l *stormLog, a, b, c, d *stormRun)
}

func (tt stormCase) check(t *testing.T, l *stormLog) {
	t.Run(strings.ReplaceAll(tt.name, " ", "_"), func(t *testing.T) {
		tt.change(l, l.runs[0], l.runs[1], l.runs[2], l.runs[3])
		v := checkStorm(l)
		found := slices.ContainsFunc(v.bad, func(b string) bool { return strings.HasPrefix(b, tt.want) })
		if tt.want == "" && len(v.bad) > 0 || tt.want != "" && !found {
			t.Errorf("want %q, the checker says:\n%s", tt.want, strings.Join(v.bad, "\n"))
		}
	})
}

// TestStormCheckerServer has the same storm on a server. Its unit is a millisecond.
func TestStormCheckerServer(t *testing.T) {
	const ms = int64(time.Millisecond)
	killed := func(a *stormRun) {
		a.cut()
		a.signal(150*ms, syscall.SIGKILL, true)
		a.exit, a.killed, a.ended, a.gone = 137, true, 151*ms, 160*ms
	}
	seen := func(l *stormLog, late time.Duration, h stormHolder) {
		from := l.runs[0].gone + int64(late)
		l.views = append(l.views, stormView{pool: "p", from: from, to: from + ms, holders: []stormHolder{h}})
	}
	unreachable := func(a *stormRun) {
		a.records, a.exit, a.said = nil, 125, "berth: error: cannot reach store x"
	}
	outage := func(l *stormLog, what string, from, to int64) {
		l.server.outages = append(l.server.outages, stormOutage{what: what, from: from * ms, to: to * ms})
	}
	for _, tt := range []stormCase{
		{"calm", "", func(*stormLog, *stormRun, *stormRun, *stormRun, *stormRun) {}},
		{"more than -n", "limit: ", func(_ *stormLog, _, _, c, _ *stormRun) { c.give(3, 150*ms, 310*ms, 2) }},

		{"task killed with its berth", "", func(_ *stormLog, a, _, _, _ *stormRun) { killed(a) }},
		{"task outlives its berth", "orphan: ", func(_ *stormLog, a, _, _, _ *stormRun) {
			killed(a)
			a.records = append(a.records, stormRecord{What: "end", At: 500 * ms})
			a.gone = 600 * ms
		}},
		{"what a tree leaves behind when its berth is killed", "", func(_ *stormLog, a, _, _, _ *stormRun) {
			killed(a)
			a.tree, a.records = true, append(a.records, stormRecord{What: "left", At: 290 * ms})
		}},
		{"task lost", "lost: ", func(_ *stormLog, a, _, _, _ *stormRun) { a.cut(); a.exit, a.waits, a.timeout = 124, true, false }},

		{"lease of a berth that was killed", "", func(l *stormLog, a, _, _, _ *stormRun) {
			killed(a)
			seen(l, 4*time.Second, stormHolder{"a", "stalled", 1, 2})
		}},
		{"that stays", "leak: ", func(l *stormLog, a, _, _, _ *stormRun) {
			killed(a)
			seen(l, 15*time.Second, stormHolder{"a", "stalled", 1, 2})
		}},
		{"that an election has given another TTL", "", func(l *stormLog, a, _, _, _ *stormRun) {
			killed(a)
			l.server.elects = true
			outage(l, "member", 4_000, 5_000)
			seen(l, 15*time.Second, stormHolder{"a", "stalled", 1, 2})
		}},
		{"that stays long after an election", "leak: ", func(l *stormLog, a, _, _, _ *stormRun) {
			killed(a)
			l.server.elects = true
			outage(l, "member", 4_000, 5_000)
			seen(l, 25*time.Second, stormHolder{"a", "stalled", 1, 2})
		}},
		{"that no election can have kept", "leak: ", func(l *stormLog, a, _, _, _ *stormRun) {
			killed(a)
			outage(l, "member", 4_000, 5_000)
			seen(l, 15*time.Second, stormHolder{"a", "stalled", 1, 2})
		}},
		{"lease of one that was not", "leak: ", func(l *stormLog, _, _, _, _ *stormRun) {
			seen(l, time.Second, stormHolder{"a", "running", 1, 2})
		}},
		{"slot of nobody", "leak: ", func(l *stormLog, a, _, _, _ *stormRun) {
			killed(a)
			seen(l, 0, stormHolder{"", "damaged", 1, 0})
		}},

		{"lease lost for no reason", "exit: ", func(_ *stormLog, a, _, _, _ *stormRun) { a.cut(); a.exit = codeLost }},
		{"lease lost by one that was frozen", "", func(_ *stormLog, a, _, _, _ *stormRun) {
			a.cut()
			a.signal(120*ms, syscall.SIGSTOP, true)
			a.exit = codeLost
		}},

		{"lease lost after a short outage", "exit: ", func(l *stormLog, a, _, _, _ *stormRun) {
			a.cut()
			a.exit = codeLost
			outage(l, "frozen", 95, 195)
		}},
		{"lease lost on a starved machine", "", func(l *stormLog, a, _, _, _ *stormRun) {
			a.cut()
			a.exit, a.ended, a.gone = codeLost, 205*ms, 205*ms
			outage(l, "slow", -400, 195)
		}},

		{"refused though the server is there", "exit: ", func(_ *stormLog, a, _, _, _ *stormRun) { unreachable(a) }},
		{"refused while it is frozen", "exit: ", func(l *stormLog, a, _, _, _ *stormRun) { unreachable(a); outage(l, "frozen", 80, 200) }},
		{"refused while it restarts", "exit: ", func(l *stormLog, a, _, _, _ *stormRun) { unreachable(a); outage(l, "restarted", 80, 200) }},
		{"refused while connections are cut", "exit: ", func(l *stormLog, a, _, _, _ *stormRun) { unreachable(a); outage(l, "cut", 80, 200) }},
		{"refused for want of time", "", func(_ *stormLog, a, _, _, _ *stormRun) { unreachable(a); a.waits = true }},
		{"failed otherwise while it restarts", "exit: ", func(l *stormLog, a, _, _, _ *stormRun) {
			unreachable(a)
			a.said = "berth: error: something else"
			outage(l, "restarted", 80, 200)
		}},

		{"overtaken", "order: ", func(l *stormLog, _, _, c, d *stormRun) {
			d.give(3, 305*ms, 400*ms, 1)
			c.give(4, 320*ms, 330*ms, 0)
			outage(l, "frozen", 150, 250)
		}},
		{"overtaken while the server was frozen for long", "", func(l *stormLog, _, _, c, d *stormRun) {
			d.give(3, 905*ms, 940*ms, 1)
			c.give(4, 920*ms, 930*ms, 0)
			outage(l, "frozen", 350, 850)
		}},
	} {
		l := calmStorm()
		l.in(ms)
		rules := stormServers["redis"]
		l.server = &rules
		tt.check(t, l)
	}
}

// TestStormCheckerFaults: what an emptied server and a bad network excuse, and what not.
// The unit is a millisecond.
func TestStormCheckerFaults(t *testing.T) {
	const ms = int64(time.Millisecond)
	add := func(l *stormLog, run, what string, from, to int64) {
		l.server.outages = append(l.server.outages, stormOutage{what: what, from: from * ms, to: to * ms, run: run})
	}
	look := func(l *stormLog, at int64, holders ...stormHolder) {
		l.views = append(l.views, stormView{pool: "p", from: at * ms, to: (at + 1) * ms, holders: holders})
	}
	// ghost shows a as a holder, so long after its end.
	ghost := func(l *stormLog, after int64) {
		l.views = append(l.views, stormView{pool: "p", from: l.runs[0].gone + after*ms, to: l.runs[0].gone + (after+1)*ms, holders: []stormHolder{{"a", "running", 1, 2}}})
	}
	lost := func(a *stormRun) { a.cut(); a.exit = codeLost }
	later := func(c, d *stormRun, at int64) {
		c.give(3, at*ms, (at+100)*ms, 0)
		d.give(4, (at+10)*ms, (at+90)*ms, 1)
	}
	overtaken := func(c, d *stormRun) { d.give(3, 305*ms, 400*ms, 1); c.give(4, 320*ms, 330*ms, 0) }
	for _, tt := range []stormCase{
		{"somebody starts on an emptied server", "hold-off: ", func(l *stormLog, _, _, _, _ *stormRun) { add(l, "", "flushed", 140, 142) }},
		{"somebody starts just before he may", "hold-off: ", func(l *stormLog, _, _, c, d *stormRun) {
			add(l, "", "flushed", 140, 142)
			later(c, d, 30_100)
		}},
		{"and when he may", "", func(l *stormLog, _, _, c, d *stormRun) {
			add(l, "", "flushed", 140, 142)
			later(c, d, 30_150)
		}},
		{"who was not seen since may have been granted before", "", func(l *stormLog, _, _, _, _ *stormRun) { add(l, "", "flushed", 205, 206) }},
		{"but not so long before", "hold-off: ", func(l *stormLog, _, _, c, d *stormRun) {
			add(l, "", "flushed", 205, 206)
			later(c, d, 5_300)
		}},
		{"a restart asks for no more than before", "", func(l *stormLog, _, _, _, _ *stormRun) { add(l, "", "restarted", 140, 142) }},

		{"a holder is not shown", "hidden: ", func(l *stormLog, _, _, _, _ *stormRun) { l.views[0].holders = l.views[0].holders[:1] }},
		{"one that had just started", "", func(l *stormLog, _, b, _, _ *stormRun) {
			l.views[0].from = 119 * ms
			l.views[0].holders = l.views[0].holders[:1]
		}},
		{"one that may have lost its lease", "", func(l *stormLog, _, b, _, _ *stormRun) {
			l.views[0].holders = l.views[0].holders[:1]
			b.signal(130*ms, syscall.SIGSTOP, true)
		}},
		{"one that has not registered again yet", "", func(l *stormLog, _, b, c, d *stormRun) {
			add(l, "", "flushed", 195, 196)
			b.give(2, 120*ms, 40_000*ms, 1)
			later(c, d, 41_000)
			look(l, 30_100)
		}},
		{"one that should have", "hidden: ", func(l *stormLog, _, b, c, d *stormRun) {
			add(l, "", "flushed", 195, 196)
			b.give(2, 120*ms, 40_000*ms, 1)
			later(c, d, 41_000)
			look(l, 30_200)
		}},

		{"a late step takes a slot for who has left", "leak: ", func(l *stormLog, _, _, _, _ *stormRun) {
			add(l, "a", "late", 150, 4_200)
			ghost(l, 4_000)
		}},
		{"or a place", "leak: ", func(l *stormLog, a, _, _, _ *stormRun) {
			add(l, "a", "late", 150, 4_200)
			l.views = append(l.views, stormView{pool: "p", from: a.gone + 4_000*ms, to: a.gone + 4_001*ms, waiters: []stormWaiter{{"a", 1, 0}}})
		}},
		{"or a place for who has got what he waited for", "leak: ", func(l *stormLog, a, _, _, _ *stormRun) {
			add(l, "a", "late", 150, 4_200)
			l.views[1].waiters = append(l.views[1].waiters, stormWaiter{"a", 3, 0})
		}},
		{"a step that is late on an emptied server", "", func(l *stormLog, _, _, c, d *stormRun) {
			add(l, "a", "late", 150, 4_200)
			add(l, "", "flushed", 210, 211)
			later(c, d, 31_000)
			ghost(l, 4_000)
		}},
		{"which does not last either", "leak: ", func(l *stormLog, _, _, c, d *stormRun) {
			add(l, "a", "late", 150, 4_200)
			add(l, "", "flushed", 210, 211)
			later(c, d, 31_000)
			ghost(l, 19_000)
		}},
		{"and says nothing of how it stood before it was served", "", func(l *stormLog, _, _, c, d *stormRun) {
			zero := 0
			add(l, "a", "late", 140, 4_200)
			add(l, "", "flushed", 160, 161)
			later(c, d, 31_000)
			l.views[1].waiters = append(l.views[1].waiters, stormWaiter{"a", 3, 0})
			l.limits = []stormLimit{{"p", &zero, 95 * ms, 130 * ms}, {"p", nil, 190 * ms, 195 * ms}}
		}},
		{"a step that is late on a server that was emptied before", "leak: ", func(l *stormLog, _, _, c, d *stormRun) {
			add(l, "a", "late", 150, 4_200)
			add(l, "", "flushed", 110, 111)
			later(c, d, 31_000)
			ghost(l, 4_000)
		}},
		{"whose taking back was lost as well", "", func(l *stormLog, _, _, _, _ *stormRun) {
			add(l, "a", "late", 150, 4_200)
			add(l, "a", "reset", 190, 190)
			ghost(l, 4_000)
		}},
		{"which does not last", "leak: ", func(l *stormLog, _, _, _, _ *stormRun) {
			add(l, "a", "late", 150, 4_200)
			add(l, "a", "reset", 190, 190)
			ghost(l, 15_000)
		}},
		{"everybody was cut off", "", func(l *stormLog, _, _, _, _ *stormRun) {
			add(l, "a", "late", 150, 4_200)
			add(l, "", "cut", 190, 190)
			ghost(l, 4_000)
		}},
		{"the server was frozen for a moment", "leak: ", func(l *stormLog, _, _, _, _ *stormRun) {
			add(l, "", "frozen", 150, 1_100)
			ghost(l, 4_000)
		}},
		{"the server was frozen for longer than it could wait", "", func(l *stormLog, _, _, _, _ *stormRun) {
			add(l, "", "frozen", 150, 1_200)
			ghost(l, 4_000)
		}},
		{"and for long after", "leak: ", func(l *stormLog, _, _, _, _ *stormRun) {
			add(l, "", "frozen", 150, 1_200)
			ghost(l, 15_000)
		}},
		{"others had trouble", "leak: ", func(l *stormLog, _, _, _, _ *stormRun) {
			add(l, "a", "late", 150, 4_200)
			add(l, "b", "reset", 190, 190)
			ghost(l, 4_000)
		}},
		{"it had trouble long before its end", "leak: ", func(l *stormLog, a, _, c, d *stormRun) {
			a.give(1, 100*ms, 9_000*ms, 0)
			l.views[0].holders[0].run, l.views[0].holders[1].run = "b", "a"
			later(c, d, 9_100)
			add(l, "a", "late", 150, 3_800)
			add(l, "a", "reset", 190, 190)
			ghost(l, 4_000)
		}},

		{"lease lost when its heartbeat was late", "", func(l *stormLog, a, _, _, _ *stormRun) { lost(a); add(l, "a", "late", 100, 700) }},
		{"when its connection was half open", "", func(l *stormLog, a, _, _, _ *stormRun) { lost(a); add(l, "a", "deaf", 100, 700) }},
		{"when it was broken", "exit: ", func(l *stormLog, a, _, _, _ *stormRun) { lost(a); add(l, "a", "reset", 150, 150) }},
		{"when somebody else's was late", "exit: ", func(l *stormLog, a, _, _, _ *stormRun) { lost(a); add(l, "b", "late", 100, 700) }},
		{"when the server was emptied", "exit: ", func(l *stormLog, a, _, c, d *stormRun) {
			lost(a)
			add(l, "", "flushed", 110, 115)
			later(c, d, 31_000)
		}},
		{"when its heartbeat had been late once", "exit: ", func(l *stormLog, a, _, c, d *stormRun) {
			a.give(1, 100*ms, 9_000*ms, 0)
			lost(a)
			later(c, d, 9_100)
			add(l, "a", "late", 100, 4_900)
		}},
		{"a long one in a short trouble", "exit: ", func(l *stormLog, a, _, _, _ *stormRun) {
			lost(a)
			a.ttl = 2 * time.Minute
			add(l, "a", "late", 100, 19_000)
		}},
		{"a long one in a long trouble", "", func(l *stormLog, a, _, _, _ *stormRun) {
			lost(a)
			a.ttl = 2 * time.Minute
			add(l, "a", "late", 100, 21_000)
		}},
		{"a long one that was killed", "", func(l *stormLog, a, _, _, _ *stormRun) {
			a.cut()
			a.signal(150*ms, syscall.SIGKILL, true)
			a.exit, a.killed, a.ended, a.gone, a.ttl = 137, true, 151*ms, 160*ms, 2*time.Minute
			ghost(l, 180_000)
		}},
		{"and stays", "leak: ", func(l *stormLog, a, _, _, _ *stormRun) {
			a.cut()
			a.signal(150*ms, syscall.SIGKILL, true)
			a.exit, a.killed, a.ended, a.gone, a.ttl = 137, true, 151*ms, 160*ms, 2*time.Minute
			ghost(l, 191_000)
		}},

		{"overtaken while it was held back", "", func(l *stormLog, _, _, c, d *stormRun) { overtaken(c, d); add(l, "c", "late", 150, 4_000) }},
		{"overtaken while others were", "order: ", func(l *stormLog, _, _, c, d *stormRun) { overtaken(c, d); add(l, "d", "late", 150, 4_000) }},
		{"overtaken after the server was emptied", "order: ", func(l *stormLog, _, _, c, d *stormRun) {
			later(c, d, 30_150)
			c.records[0].Token, d.records[0].Token = 4, 3
			add(l, "", "flushed", 140, 142)
		}},
	} {
		l := calmStorm()
		l.in(ms)
		rules := stormServers["redis"]
		l.server = &rules
		tt.check(t, l)
	}
}

// TestStormCheckerCluster: a member that hangs excuses nothing, and an election little.
func TestStormCheckerCluster(t *testing.T) {
	const ms = int64(time.Millisecond)
	lost := func(what string, to int64) func(*stormLog, *stormRun, *stormRun, *stormRun, *stormRun) {
		return func(l *stormLog, a, _, _, _ *stormRun) {
			a.cut()
			a.exit = codeLost
			l.server.outages = append(l.server.outages, stormOutage{what: what, from: 95 * ms, to: to})
		}
	}
	for _, tt := range []stormCase{
		{"lease lost with a member that hangs", "exit: ", lost("hung", never)},
		{"lease lost while a member was frozen", "exit: ", lost("member", 5000*ms)},
		{"lease lost in an election", "exit: ", lost("slow", 1300*ms)},
		{"lease lost in an outage", "", lost("frozen", 1400*ms)},
		{"somebody starts after a restart", "", func(l *stormLog, _, _, _, _ *stormRun) {
			l.server.outages = append(l.server.outages, stormOutage{what: "restarted", from: 140 * ms, to: 142 * ms})
		}},
	} {
		l := calmStorm()
		l.in(ms)
		rules := stormServers["etcd"]
		l.server = &rules
		tt.check(t, l)
	}
}

// in gives the time a unit.
func (l *stormLog) in(unit int64) {
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
func inside(o *stormRun, token uint64) *stormRun {
	n := &stormRun{id: innerRun(o.id), parent: o.id, pool: "p", limit: 2, weight: 1, onBusy: "fail", waits: true, launch: 130}
	for i, what := range []string{"start", "end", "inner"} {
		n.records = append(n.records, stormRecord{What: what, Run: n.id, Pool: "p", Slots: o.records[0].Slots, Token: token, At: 140 + 5*int64(i)})
	}
	return n
}
