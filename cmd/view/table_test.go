package view

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"berth/cmd/text"
	"berth/lease"
)

func someJobs() []Pool {
	child, limit := 4242424, 30
	p := Pool{Pool: "ci", Limit: &limit, LimitFrom: "pool", Used: 2}
	for i, cmd := range []string{"make test", "測試 " + strings.Repeat("long ", 30), "e\u0301 short"} {
		held := 10.5
		h := Holder{
			Lease: fmt.Sprintf("ci/%012d", i), Slots: []int{i}, State: lease.Running, Command: []string{cmd}, PID: 4242400 + i, ChildPID: &child,
			User: "runner", Host: "build-machine-07.example.org", Held: &held, Labels: map[string]string{"job": strings.Repeat("測", i*8)},
		}
		if i == 1 {
			h.State, h.Note = lease.Stalled, "its berth (pid 7) is stopped"
		}
		p.Holders = append(p.Holders, h)
	}
	for i := range 2 {
		p.Waiters = append(p.Waiters, Waiter{Lease: fmt.Sprintf("ci/%012d", 10+i), Place: i + 1, Command: []string{"make", "it"}, User: "ann", Host: "box", Weight: 1, reason: lease.Full})
	}
	return []Pool{p}
}

// TestTableFits: no line is wider than the terminal, and the columns begin in the same
// one in all rows, whatever has a colour.
func TestTableFits(t *testing.T) {
	for columns := 1; columns < 250; columns++ {
		for _, l := range Flat(table(someJobs(), columns)) {
			if n := text.Columns(l.Text); n > columns {
				t.Errorf("%d columns: %d: %q", columns, n, l.Text)
			}
		}
	}
	for _, columns := range []int{0, 60, 80, 120, 200} {
		at := map[int]bool{}
		for _, r := range []string{"running", "stalled", "waiting"} {
			for _, l := range Flat(table(someJobs(), columns))[1:] {
				if i := strings.Index(l.Text, r); i >= 0 {
					at[text.Columns(l.Text[:i])] = true
				}
			}
		}
		if len(at) != 1 {
			t.Errorf("%d columns: the states begin in columns %v", columns, at)
		}
	}
	at := map[int]bool{}
	for i, l := range Flat(table(someJobs(), 0))[1:] {
		word := []string{"make test", "測試 long", "e\u0301 short", "make it", "make it"}[i]
		at[text.Columns(l.Text[:strings.Index(l.Text, word)])] = true
	}
	if len(at) != 1 {
		t.Errorf("the commands begin in columns %v", at)
	}
}

// TestTableOnEightyColumns: who is on call sees what runs, though names are long.
func TestTableOnEightyColumns(t *testing.T) {
	var lines []string
	for _, l := range Flat(table(someJobs(), 80)) {
		lines = append(lines, l.Text)
	}
	want := []string{
		"ci  2 of 30 in use (the pool's own limit), 2 waiting",
		"  slot 0  running   10s  runner@buil…  4242400>…  …  job=         make test",
		"  slot 1  stalled   10s  runner@buil…  4242401>…  …  job=…測測測  測試 long lon…",
		"       [its berth (pid 7) is stopped]",
		"  slot 2  running   10s  runner@buil…  4242402>…  …  job=…測測測  e\u0301 short",
		"  wait 1  waiting  0.0s  ann@box       0          …               make it",
		"  wait 2  waiting  0.0s  ann@box       0          …               make it",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}

func TestColorsChangeNoWidth(t *testing.T) {
	for _, columns := range []int{0, 10, 13, 17, 40, 80} {
		for _, blocks := range [][]Block{table(someJobs(), columns), longTable(someJobs(), columns)} {
			for _, l := range Flat(blocks) {
				if plain := ourColors.ReplaceAllString(l.paint(true), ""); plain != l.paint(false) {
					t.Errorf("%q with colours is %q", l.paint(false), plain)
				}
			}
		}
	}
}

func TestFitRows(t *testing.T) {
	jobs := func(n, lines int) (all [][]TextLine) {
		for i := range n {
			all = append(all, slices.Repeat([]TextLine{{Text: fmt.Sprint(i)}}, lines))
		}
		return all
	}
	pool := func(name string, holders, waiters, lines int) Block {
		return Block{Head: []TextLine{{Text: name}}, jobs: jobs(holders+waiters, lines), holders: holders}
	}
	for _, c := range []struct {
		name   string
		blocks []Block
		rows   int
		want   string
	}{
		{"all", []Block{pool("a", 2, 1, 1), pool("b", 0, 1, 1)}, 7, "a 0 1 2  b 0"},
		{"no empty line", []Block{pool("a", 2, 1, 1), pool("b", 0, 1, 1)}, 6, "a 0 1 2 b 0"},
		{"the line is hidden", []Block{pool("a", 30, 5, 1)}, 10, "a 0 1 2 3 4 5 30 31   and 27 more, 3 of them in the line"},
		{"nobody waits", []Block{pool("a", 30, 0, 1)}, 5, "a 0 1 2   and 27 more"},
		{"only waiters", []Block{pool("a", 1, 9, 1)}, 5, "a 0 1 2   and 7 more in the line"},
		{"shared", []Block{pool("a", 100, 0, 1), pool("b", 3, 0, 1), pool("c", 100, 0, 1)}, 14, "a 0 1 2   and 97 more b 0 1 2 c 0 1 2   and 97 more"},
		{"three lines a job", []Block{pool("a", 5, 0, 3)}, 9, "a 0 0 0 1 1 1   and 3 more"},
		{"no room for a job", []Block{pool("a", 5, 0, 3)}, 3, "a   and 5 more"},
		{"not even heads", []Block{pool("a", 5, 0, 1), pool("b", 5, 0, 1), pool("c", 1, 0, 1)}, 3, "a 0 and 14 lines more"},
		{"one row", []Block{pool("a", 5, 0, 1)}, 1, "and 6 lines more"},
	} {
		var got []string
		for _, l := range FitRows(c.blocks, c.rows) {
			got = append(got, l.Text)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, want %q", c.name, strings.Join(got, " "), c.want)
		}
		if len(got) > c.rows {
			t.Errorf("%s: %d rows, not %d", c.name, len(got), c.rows)
		}
	}
}

// TestEssence: what changes by itself is no change, what happened is one.
func TestEssence(t *testing.T) {
	change := func(f func(*Pool)) string {
		p := someJobs()
		f(&p[0])
		return Essence(p)
	}
	still := Essence(someJobs())
	n, rss, procs := 99.0, uint64(9), 3
	for name, f := range map[string]func(*Pool){
		"times": func(p *Pool) {
			p.Holders[0].Held, p.Holders[0].HeartbeatAge, p.Holders[0].KeepaliveAge, p.Waiters[0].Waited = &n, &n, &n, 7
		},
		"use":    func(p *Pool) { p.Holders[0].CPU, p.Holders[0].RSS, p.Holders[0].Procs = &n, &rss, &procs },
		"a note": func(p *Pool) { p.Holders[1].Note = "its berth (pid 8) is stopped" },
	} {
		if change(f) != still {
			t.Errorf("%s: a change", name)
		}
	}
	for name, f := range map[string]func(*Pool){
		"a state":            func(p *Pool) { p.Holders[0].State = lease.Orphaned },
		"a job":              func(p *Pool) { p.Holders = p.Holders[1:] },
		"a waiter":           func(p *Pool) { p.Waiters = p.Waiters[1:] },
		"a reason":           func(p *Pool) { p.Waiters[0].For = "its gates have not answered yet" },
		"a limit":            func(p *Pool) { p.Limit = nil },
		"no more to be read": func(p *Pool) { p.unread = true },
	} {
		if change(f) == still {
			t.Errorf("%s: no change", name)
		}
	}
}

// TestLabelsStay: jobs that differ by their label alone can be told apart on a narrow
// terminal, and where nothing is left of it a mark says so. (They were identical rows.)
func TestLabelsStay(t *testing.T) {
	p := Pool{Pool: "nightly"}
	for i := range 30 {
		held, child := 3.0, 31000+i
		p.Holders = append(p.Holders, Holder{
			Lease: fmt.Sprintf("nightly/%012d", i), Slots: []int{i}, State: lease.Running, Command: []string{"make", "-C", "/srv/a/long/path", "all"},
			PID: 30000 + i, ChildPID: &child, User: "ci", Host: "box", Held: &held, Labels: map[string]string{"job": fmt.Sprintf("nightly-build-%d", i)},
		})
	}
	for _, columns := range []int{64, 80, 100, 0} {
		for i, l := range Flat(table([]Pool{p}, columns))[1:] {
			if !strings.Contains(l.Text, fmt.Sprintf("-%d  ", i)) && !strings.Contains(l.Text, fmt.Sprintf("d-%d ", i)) {
				t.Errorf("%d columns: no label in %q", columns, l.Text)
			}
		}
	}
	got := Flat(table([]Pool{p}, 80))[1].Text
	if want := "  slot 0   running  3.0s  …  30000>…  …  job=nightly-build-0   make -C /srv/a/l…"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for _, l := range Flat(table([]Pool{p}, 50))[1:] {
		if strings.Count(l.Text, "…") < 4 {
			t.Errorf("no mark: %q", l.Text)
		}
	}
}

// TestHeadingSaysWhy: the reason of a limit is whole on any terminal, and so is all of
// the long form. (It was cut.)
func TestHeadingSaysWhy(t *testing.T) {
	reason, by := "kernel upgrade, and then the disks: ask ann before you start anything here", "ann@a-machine-with-quite-a-name.example.org"
	zero, at := 0, time.Now()
	p := Pool{Pool: "tg", Limit: &zero, LimitFrom: "pool", OwnLimit: &zero, Used: 1, OwnReason: &reason, OwnSetBy: &by, OwnSetAt: &at}
	p.Waiters = []Waiter{{Lease: "tg/1", For: "stopped", Command: []string{strings.Repeat("make it ", 30)}}, {Lease: "tg/2", For: "place kept for its key"}, {Lease: "tg/3", Place: 1, For: "the pool's own limit is 0", reason: lease.Drained}}
	for _, columns := range []int{30, 80, 200, 0} {
		for name, blocks := range map[string][]Block{"rows": table([]Pool{p}, columns), "long": longTable([]Pool{p}, columns)} {
			var all []string
			for _, l := range Flat(blocks) {
				if columns > 0 && text.Columns(l.Text) > columns {
					t.Errorf("%s, %d columns: %q", name, columns, l.Text)
				}
				all = append(all, strings.TrimSpace(l.Text))
			}
			text := strings.Join(all, " ")
			for _, want := range []string{"tg  1 in use, draining (limit 0), 1 waiting, 1 stopped, 1 place kept", "reason: " + reason + " (set by ann"} {
				if !strings.Contains(text, want) {
					t.Errorf("%s, %d columns: no %q in %q", name, columns, want, text)
				}
			}
			if name == "long" && (strings.Contains(text, "…") || strings.Count(text, "make it") != 30) {
				t.Errorf("%d columns: cut: %q", columns, text)
			}
		}
	}
}
