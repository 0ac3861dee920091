package cmd

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"berth/lease"
)

// The table: one row a job, so that grep finds all of it.

const (
	inPlace = iota
	inState
	inTime
	inWho
	inPID
	inLease
	inLabels
	inCommand
	cellsOfARow
)

type cells [cellsOfARow]string

// row is what a row's cells are made of, escaped.
type row struct {
	place, state, time, user, host, pid, child, lease, labels, command string

	odd bool // its state is worth a look
}

// levels are how narrow a row can be made, one after the other.
const levels = 6

// at are the cells of a row at a level. What is left out first is what the line above
// says (the pool), what is the same in all rows of most stores (this machine), and
// what a person finds elsewhere (-l).
func (r *row) at(level int) cells {
	c := cells{r.place, r.state, r.time, r.user, r.pid, r.lease, r.labels, r.command}
	if r.child != "" && level < 1 {
		c[inPID] += ">" + r.child
	}
	if _, short, ok := strings.Cut(r.lease, "/"); ok && level >= 1 {
		c[inLease] = short
	}
	if r.host != "" && (level < 2 || r.host != oneLine(here())) {
		c[inWho] += "@" + r.host
	}
	if level >= 3 {
		c[inLabels] = shorten(c[inLabels], 16)
	}
	if level >= 4 {
		c[inWho] = shorten(c[inWho], 12)
	}
	if level >= 5 {
		c[inLabels] = ""
	}
	return c
}

const (
	gap = "  "
	// leastCommand is how much of a command is worth more than other columns whole.
	leastCommand = 24
	// mostCell is how far one odd cell pushes those of all rows to the right.
	mostCell = 64
)

// widths are those of the columns at a level; the last is what the longest command has.
func widths(rows []*row, level int) (w [cellsOfARow]int) {
	for _, r := range rows {
		for i, c := range r.at(level) {
			if n := columnsOf(c); i == inCommand {
				w[i] = max(w[i], n)
			} else {
				w[i] = max(w[i], min(n, mostCell))
			}
		}
	}
	return w
}

// fit finds the first level at which what comes before the commands leaves room for
// enough of them.
func fit(rows []*row, columns int) (level int, w [cellsOfARow]int) {
	for level = range levels {
		w = widths(rows, level)
		need := 0
		for i, n := range w {
			if i == inCommand {
				n = min(n, leastCommand)
			}
			if n > 0 {
				need += len(gap) + n
			}
		}
		if columns == 0 || need <= columns {
			break
		}
	}
	return level, w
}

// line writes a row.
func (r *row) line(level int, w [cellsOfARow]int, columns int) textLine {
	var t textLine
	for i, c := range r.at(level) {
		if w[i] == 0 {
			continue
		}
		t.text += gap
		if i == inState && r.odd {
			t.color, t.from, t.to = colorOdd, len(t.text), len(t.text)+len(c)
		}
		if i == inTime {
			c = padLeft(c, w[i])
		}
		t.text += padRight(c, w[i])
	}
	t.text = cut(strings.TrimRight(t.text, " "), columns)
	return t
}

const colorPool, colorOdd = "1", "33"

// cut is shorten, where there is a width.
func cut(s string, columns int) string {
	if columns == 0 {
		columns = math.MaxInt
	}
	return shorten(s, columns)
}

func table(pools []poolJSON, columns int) []block {
	var rows []*row
	blocks := make([]block, len(pools))
	of := make([][]*row, len(pools))
	for i, p := range pools {
		blocks[i] = block{head: heading(&p, columns), holders: len(p.Holders)}
		for _, h := range p.Holders {
			of[i] = append(of[i], holderRow(&h))
		}
		for _, w := range p.Waiters {
			of[i] = append(of[i], waiterRow(&w))
		}
		rows = append(rows, of[i]...)
	}
	level, w := fit(rows, columns)
	for i := range blocks {
		for _, r := range of[i] {
			blocks[i].jobs = append(blocks[i].jobs, []textLine{r.line(level, w, columns)})
		}
	}
	return blocks
}

func holderRow(h *holderJSON) *row {
	r := &row{
		place: "slot " + slotList(h.Slots), state: oneLine(string(h.State)), time: orDash(h.Held),
		user: oneLine(h.User), host: oneLine(h.Host), pid: strconv.Itoa(h.PID), lease: oneLine(h.Lease),
		labels: strings.Join(labelList(h.Labels), " "), command: commandLine(h.Command),
		odd: h.State != lease.Running && h.State != lease.Reserved,
	}
	if h.ChildPID != nil && *h.ChildPID != h.PID {
		r.child = strconv.Itoa(*h.ChildPID)
	}
	if h.State == lease.Damaged {
		r.user, r.host, r.pid, r.lease = "-", "", "-", orElse(r.lease, "-")
	}
	if h.Note != "" { // before the command, which is cut first
		r.command = strings.TrimRight("["+oneLine(h.Note)+"] "+r.command, " ")
	}
	return r
}

func waiterRow(w *waiterJSON) *row {
	r := &row{
		place: fmt.Sprintf("wait %d", w.Place), state: "waiting", time: short(seconds(w.Waited)),
		user: oneLine(w.User), host: oneLine(w.Host), pid: strconv.Itoa(w.PID), lease: oneLine(w.Lease),
		labels: strings.Join(labelList(w.Labels), " "), command: commandLine(w.Command),
	}
	if w.Place == 0 {
		r.place, r.state = "wait -", "kept"
		if w.For == "stopped" {
			r.state = "stopped"
		}
	}
	return r
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
