//go:build linux

package main

import (
	"syscall"
	"testing"
	"time"
)

// TestCheckerServer has the same storm on a server. Its unit is a millisecond.
func TestCheckerServer(t *testing.T) {
	const ms = int64(time.Millisecond)
	killed := func(a *Run) {
		a.cut()
		a.signal(150*ms, syscall.SIGKILL, true)
		a.exit, a.killed, a.ended, a.gone = 137, true, 151*ms, 160*ms
	}
	seen := func(l *Log, late time.Duration, h Holder) {
		from := l.runs[0].gone + int64(late)
		l.views = append(l.views, View{pool: "p", from: from, to: from + ms, holders: []Holder{h}})
	}
	unreachable := func(a *Run) {
		a.records, a.exit, a.said = nil, 125, "berth: error: cannot reach store x"
	}
	outage := func(l *Log, what string, from, to int64) {
		l.server.outages = append(l.server.outages, Outage{what: what, from: from * ms, to: to * ms})
	}
	for _, tt := range []checkCase{
		{"calm", "", func(*Log, *Run, *Run, *Run, *Run) {}},
		{"more than -n", "limit: ", func(_ *Log, _, _, c, _ *Run) { c.give(3, 150*ms, 310*ms, 2) }},

		{"task killed with its berth", "", func(_ *Log, a, _, _, _ *Run) { killed(a) }},
		{"task outlives its berth", "orphan: ", func(_ *Log, a, _, _, _ *Run) {
			killed(a)
			a.records = append(a.records, Record{What: "end", At: 500 * ms})
			a.gone = 600 * ms
		}},
		{"what a tree leaves behind when its berth is killed", "", func(_ *Log, a, _, _, _ *Run) {
			killed(a)
			a.tree, a.records = true, append(a.records, Record{What: "left", At: 290 * ms})
		}},
		{"task lost", "lost: ", func(_ *Log, a, _, _, _ *Run) { a.cut(); a.exit, a.waits, a.timeout = 124, true, false }},

		{"lease of a berth that was killed", "", func(l *Log, a, _, _, _ *Run) {
			killed(a)
			seen(l, 4*time.Second, Holder{run: "a", state: "stalled", slots: 1, asks: 2})
		}},
		{"that stays", "leak: ", func(l *Log, a, _, _, _ *Run) {
			killed(a)
			seen(l, 15*time.Second, Holder{run: "a", state: "stalled", slots: 1, asks: 2})
		}},
		{"that an election has given another TTL", "", func(l *Log, a, _, _, _ *Run) {
			killed(a)
			l.server.elects = true
			outage(l, "member", 4_000, 5_000)
			seen(l, 15*time.Second, Holder{run: "a", state: "stalled", slots: 1, asks: 2})
		}},
		{"that stays long after an election", "leak: ", func(l *Log, a, _, _, _ *Run) {
			killed(a)
			l.server.elects = true
			outage(l, "member", 4_000, 5_000)
			seen(l, 25*time.Second, Holder{run: "a", state: "stalled", slots: 1, asks: 2})
		}},
		{"that no election can have kept", "leak: ", func(l *Log, a, _, _, _ *Run) {
			killed(a)
			outage(l, "member", 4_000, 5_000)
			seen(l, 15*time.Second, Holder{run: "a", state: "stalled", slots: 1, asks: 2})
		}},
		{"lease of one that was not", "leak: ", func(l *Log, _, _, _, _ *Run) {
			seen(l, time.Second, Holder{run: "a", state: "running", slots: 1, asks: 2})
		}},
		{"slot of no known run", "leak: ", func(l *Log, a, _, _, _ *Run) {
			killed(a)
			seen(l, 0, Holder{run: "", state: "damaged", slots: 1, asks: 0})
		}},

		{"lease lost for no reason", "exit: ", func(_ *Log, a, _, _, _ *Run) { a.cut(); a.exit = codeLost }},
		{"lease lost by one that was frozen", "", func(_ *Log, a, _, _, _ *Run) {
			a.cut()
			a.signal(120*ms, syscall.SIGSTOP, true)
			a.exit = codeLost
		}},

		{"lease lost after a short outage", "exit: ", func(l *Log, a, _, _, _ *Run) {
			a.cut()
			a.exit = codeLost
			outage(l, "frozen", 95, 195)
		}},
		{"lease lost on a starved machine", "", func(l *Log, a, _, _, _ *Run) {
			a.cut()
			a.exit, a.ended, a.gone = codeLost, 205*ms, 205*ms
			outage(l, "slow", -400, 195)
		}},

		{"refused though the server is there", "exit: ", func(_ *Log, a, _, _, _ *Run) { unreachable(a) }},
		{"refused while it is frozen", "exit: ", func(l *Log, a, _, _, _ *Run) { unreachable(a); outage(l, "frozen", 80, 200) }},
		{"refused while it restarts", "exit: ", func(l *Log, a, _, _, _ *Run) { unreachable(a); outage(l, "restarted", 80, 200) }},
		{"refused while connections are cut", "exit: ", func(l *Log, a, _, _, _ *Run) { unreachable(a); outage(l, "cut", 80, 200) }},
		{"refused because its time was over", "", func(_ *Log, a, _, _, _ *Run) { unreachable(a); a.waits = true }},
		{"failed otherwise while it restarts", "exit: ", func(l *Log, a, _, _, _ *Run) {
			unreachable(a)
			a.said = "berth: error: something else"
			outage(l, "restarted", 80, 200)
		}},

		{"overtaken", "order: ", func(l *Log, _, _, c, d *Run) {
			d.give(3, 305*ms, 400*ms, 1)
			c.give(4, 320*ms, 330*ms, 0)
			outage(l, "frozen", 150, 250)
		}},
		{"overtaken while the server was frozen for long", "", func(l *Log, _, _, c, d *Run) {
			d.give(3, 905*ms, 940*ms, 1)
			c.give(4, 920*ms, 930*ms, 0)
			outage(l, "frozen", 350, 850)
		}},
	} {
		l := calmStorm()
		l.in(ms)
		rules := serverKinds["redis"]
		l.server = &rules
		tt.check(t, l)
	}
}

// TestCheckerCluster: a member that hangs excuses nothing, and an election little.
func TestCheckerCluster(t *testing.T) {
	const ms = int64(time.Millisecond)
	lost := func(what string, to int64) func(*Log, *Run, *Run, *Run, *Run) {
		return func(l *Log, a, _, _, _ *Run) {
			a.cut()
			a.exit = codeLost
			l.server.outages = append(l.server.outages, Outage{what: what, from: 95 * ms, to: to})
		}
	}
	for _, tt := range []checkCase{
		{"lease lost with a member that hangs", "exit: ", lost("hung", never)},
		{"lease lost while a member was frozen", "exit: ", lost("member", 5000*ms)},
		{"lease lost in an election", "exit: ", lost("slow", 1300*ms)},
		{"lease lost in an outage", "", lost("frozen", 1400*ms)},
		{"a start after a restart", "", func(l *Log, _, _, _, _ *Run) {
			l.server.outages = append(l.server.outages, Outage{what: "restarted", from: 140 * ms, to: 142 * ms})
		}},
	} {
		l := calmStorm()
		l.in(ms)
		rules := serverKinds["etcd"]
		l.server = &rules
		tt.check(t, l)
	}
}
