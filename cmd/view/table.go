package view

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"berth/cmd/text"
	"berth/lease"
)

// The table has one row per job, so that grep finds all of it.

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

// row is what the cells of a row are made of, escaped.
type row struct {
	place, state, time, user, host, pid, child, lease, labels, command, note string

	notable   bool // its state deserves attention
	redundant bool // its user and host are ours, or the same in all rows
}

// levels is how many steps there are to make a row narrower.
const levels = 10

// at are the cells of a row at a level. The first to go is what the heading says (the pool),
// what is the same in all rows, and what -l shows; the last are the labels, by which people
// tell jobs apart. A mark shows that something is left out, except for the pool.
func (r *row) at(level int) cells {
	c := cells{r.place, r.state, r.time, r.user, r.pid, r.lease, r.labels, r.command}
	if r.child != "" {
		c[inPID] += ">" + r.child
	}
	if r.host != "" {
		c[inWho] += "@" + r.host
	}
	if _, short, ok := strings.Cut(r.lease, "/"); ok && level >= 1 {
		c[inLease] = short
	}
	if level >= 1 && r.child != "" {
		c[inPID] = r.pid + ">…"
	}
	switch {
	case level >= 3 && r.redundant:
		c[inWho] = "…"
	case level >= 2 && r.redundant:
		c[inWho] = text.Shorten(r.user+"@…", text.Columns(c[inWho]))
	case level >= 4:
		c[inWho] = text.Shorten(c[inWho], 12)
	}
	switch {
	case level >= 6 && r.pid != "-": // which names the job as well
		c[inLease] = text.Shorten(c[inLease], 1)
	case level >= 5:
		c[inLease] = text.Shorten(c[inLease], 7)
	}
	if most := [levels]int{7: 24, 8: 12, 9: 1}[level]; most > 0 {
		c[inLabels] = text.ShortenMiddle(c[inLabels], most)
	}
	return c
}

// setUsual finds the rows whose user and host are no news.
func setUsual(rows []*row) {
	all := map[string]bool{}
	for _, r := range rows {
		if r.host != "" { // else it is unknown
			all[r.user+"@"+r.host] = true
		}
	}
	us := text.OneLine(text.Me())
	for _, r := range rows {
		who := r.user + "@" + r.host
		r.redundant = r.host != "" && (len(all) == 1 || who == us)
	}
}

const (
	gap = "  "
	// leastCommand is how many columns a command keeps before other cells are cut, and
	// besideLabels the same before labels are cut.
	leastCommand, besideLabels = 24, 6
	// mostCell bounds how far one long cell pushes the next column to the right.
	mostCell = 64
)

// widths are the widths of the columns at a level. The last is that of the longest command.
func widths(rows []*row, level int) (w [cellsOfARow]int) {
	for _, r := range rows {
		for i, c := range r.at(level) {
			if n := text.Columns(c); i == inCommand {
				w[i] = max(w[i], n)
			} else {
				w[i] = max(w[i], min(n, mostCell))
			}
		}
	}
	return w
}

// fit finds the first level that leaves enough room for the commands.
func fit(rows []*row, columns int) (level int, w [cellsOfARow]int) {
	for level = range levels {
		w = widths(rows, level)
		need, least := 0, leastCommand
		if w[inLabels] > 1 && level >= 6 {
			least = besideLabels
		}
		for i, n := range w {
			if i == inCommand {
				n = min(n, least)
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

// lines are the lines of a row: one, and more if its note does not fit behind the command.
func (r *row) lines(level int, w [cellsOfARow]int, columns int) []TextLine {
	t := r.line(level, w)
	if r.note == "" {
		t.Text = cut(t.Text, columns)
		return []TextLine{t}
	}
	if whole := t.Text + gap + r.note; columns == 0 || text.Columns(whole) <= columns {
		t.Text = whole
		return []TextLine{t}
	}
	t.Text = cut(t.Text, columns)
	return append([]TextLine{t}, indented(r.note, columns)...)
}

// line is a row that is not cut.
func (r *row) line(level int, w [cellsOfARow]int) TextLine {
	var t TextLine
	for i, c := range r.at(level) {
		if w[i] == 0 {
			continue
		}
		t.Text += gap
		if i == inState && r.notable {
			t.Color, t.from, t.To = ColorOdd, len(t.Text), len(t.Text)+len(c)
		}
		if i == inTime {
			c = text.PadLeft(c, w[i])
		}
		t.Text += text.PadRight(c, w[i])
	}
	t.Text = strings.TrimRight(t.Text, " ")
	return t
}

const colorPool, ColorOdd = "1", "33"

// cut shortens s to a width, if there is one.
func cut(s string, columns int) string {
	if columns == 0 {
		columns = math.MaxInt
	}
	return text.Shorten(s, columns)
}

func table(pools []Pool, columns int) []Block {
	var rows []*row
	blocks := make([]Block, len(pools))
	of := make([][]*row, len(pools))
	for i, p := range pools {
		blocks[i] = Block{Head: heading(&p, columns), holders: len(p.Holders)}
		for _, h := range p.Holders {
			of[i] = append(of[i], holderRow(&h))
		}
		for _, w := range p.Waiters {
			of[i] = append(of[i], waiterRow(&w))
		}
		rows = append(rows, of[i]...)
	}
	setUsual(rows)
	level, w := fit(rows, columns)
	for i := range blocks {
		for _, r := range of[i] {
			blocks[i].jobs = append(blocks[i].jobs, r.lines(level, w, columns))
		}
	}
	return blocks
}

func holderRow(h *Holder) *row {
	r := &row{
		place: "slot " + slotsOf(h), state: text.OneLine(string(h.State)), time: orDash(h.Held),
		user: text.OneLine(h.User), host: text.OneLine(h.Host), pid: strconv.Itoa(h.PID), lease: text.OneLine(h.Lease),
		labels: strings.Join(names(h.Job, h.Labels), " "), command: text.CommandLine(h.Command),
		notable: h.State != lease.Running && h.State != lease.Reserved,
	}
	if h.ChildPID != nil && *h.ChildPID != h.PID {
		r.child = strconv.Itoa(*h.ChildPID)
	}
	if h.State == lease.Damaged {
		r.user, r.host, r.pid, r.lease = "-", "", "-", orElse(r.lease, "-")
	}
	var notes []string
	if h.Said != nil {
		notes = append(notes, "["+text.Shorten(text.OneLine(*h.Said), reasonColumns)+"]")
	}
	if h.Note != "" {
		notes = append(notes, "["+text.OneLine(h.Note)+"]")
	}
	if h.waits != "" {
		notes = append(notes, "[waits for "+text.OneLine(h.waits)+"]")
	}
	r.note = strings.Join(notes, gap)
	return r
}

func waiterRow(w *Waiter) *row {
	r := &row{
		place: fmt.Sprintf("wait %d", w.Place), state: "waiting", time: text.Duration(seconds(w.Waited)),
		user: text.OneLine(w.User), host: text.OneLine(w.Host), pid: strconv.Itoa(w.PID), lease: text.OneLine(w.Lease),
		labels: strings.Join(names(w.Job, w.Labels), " "), command: text.CommandLine(w.Command),
	}
	if len(w.Holds) > 0 {
		r.note = "[holds " + text.OneLine(strings.Join(w.Holds, " ")) + "]"
	}
	if w.Place == 0 {
		r.place, r.state = "wait -", "kept"
		if w.For == stoppedWaiter {
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
