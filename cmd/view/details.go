package view

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"berth/cmd/text"
	"berth/lease"
	"berth/limiter/gate"
)

// The long form has a few lines per job, with all that is known of it.

const (
	detailIndent = "       "
	// detailColumns is the width of lines that go to no terminal.
	detailColumns = 80
)

func longTable(pools []Pool, columns int) []Block {
	var blocks []Block
	for _, p := range pools {
		b := Block{Head: heading(&p, columns), holders: len(p.Holders)}
		for _, h := range p.Holders {
			b.jobs = append(b.jobs, holderLines(&h, columns))
		}
		for _, w := range p.Waiters {
			b.jobs = append(b.jobs, waiterLines(&w, columns))
		}
		blocks = append(blocks, b)
	}
	return blocks
}

func holderLines(h *Holder, columns int) []TextLine {
	first := fmt.Sprintf("  slot %-4s ", slotsOf(h))
	state := text.OneLine(string(h.State))
	lines := hanging(fmt.Sprintf("%s%-8s %7s  %s", first, state, orDash(h.Held), text.CommandLine(h.Command)), columns)
	if h.State != lease.Running && h.State != lease.Reserved {
		lines[0].Color, lines[0].from, lines[0].To = ColorOdd, len(first), len(first)+len(state)
	}
	lines = append(lines, details(holderFacts(h), columns)...)
	if h.Said != nil {
		lines = append(lines, indented("note: "+text.OneLine(*h.Said), columns)...)
	}
	if h.Note == "" {
		return lines
	}
	return append(lines, indented(text.OneLine(h.Note), columns)...)
}

func waiterLines(w *Waiter, columns int) []TextLine {
	r := waiterRow(w)
	lines := hanging(fmt.Sprintf("  %-9s %-8s %7s  %s", r.place, r.state, r.time, r.command), columns)
	return append(lines, details(waiterFacts(w), columns)...)
}

// hanging wraps text: its first line is not indented, the others are.
func hanging(fact string, columns int) []TextLine {
	if columns == 0 || text.Columns(fact) <= columns {
		return []TextLine{{Text: fact}}
	}
	first := text.Wrapped(fact, columns)[0]
	rest := strings.TrimLeft(fact[min(len(fact), len(first)):], " ")
	if rest == "" || columns <= len(detailIndent) {
		return []TextLine{{Text: cut(fact, columns)}}
	}
	return append([]TextLine{{Text: first}}, indented(rest, columns)...)
}

// indented wraps text into indented lines.
func indented(fact string, columns int) []TextLine {
	if columns == 0 {
		return []TextLine{{Text: detailIndent + fact}}
	}
	var lines []TextLine
	for _, l := range text.Wrapped(fact, columns-len(detailIndent)) {
		lines = append(lines, TextLine{Text: cut(detailIndent+l, columns)})
	}
	return lines
}

func orDetail(columns int) int {
	if columns == 0 {
		return detailColumns
	}
	return columns
}

// details fills indented lines with facts, two blanks between them. A fact is broken only if
// it is wider than a line.
func details(facts []string, columns int) []TextLine {
	var lines []TextLine
	line := ""
	for _, f := range facts {
		if line != "" && text.Columns(detailIndent+line+gap+f) > orDetail(columns) {
			lines = append(lines, indented(line, columns)...)
			line = ""
		}
		if line != "" {
			line += gap
		}
		line += f
	}
	if line != "" {
		lines = append(lines, indented(line, columns)...)
	}
	return lines
}

func holderFacts(h *Holder) []string {
	if h.State == lease.Damaged {
		return nil
	}
	pid := "pid " + strconv.Itoa(h.PID)
	if h.ChildPID != nil && *h.ChildPID != h.PID {
		pid += ">" + strconv.Itoa(*h.ChildPID)
	}
	d := []string{text.OneLine(h.Lease), pid, text.OneLine(h.User + "@" + h.Host), fmt.Sprintf("token %d", h.Token)}
	if h.CPU != nil {
		d = append(d, "cpu "+text.Duration(seconds(*h.CPU)), "mem "+gate.Bytes(*h.RSS), fmt.Sprintf("procs %d", *h.Procs))
	}
	if h.HeartbeatAge != nil {
		d = append(d, "heartbeat "+text.Duration(seconds(*h.HeartbeatAge))+" ago")
	}
	for _, id := range h.Together {
		if id != h.Lease {
			d = append(d, "with "+text.OneLine(id))
		}
	}
	if h.waits != "" {
		d = append(d, "waits for "+text.OneLine(h.waits))
	}
	d = append(d, limitFacts(h)...)
	if h.dir != "" {
		d = append(d, "dir "+text.OneLine(h.dir))
	}
	if h.Need != nil {
		d = append(d, "need "+text.OneLine(gate.FormatNeed(*h.Need)))
	}
	if h.Priority != 0 {
		d = append(d, fmt.Sprintf("priority %d", h.Priority))
	}
	return append(d, names(h.Job, h.Labels)...)
}

// limitFacts tell when the job will be ended.
func limitFacts(h *Holder) (d []string) {
	if h.Deadline != nil {
		left := time.Until(*h.Deadline)
		if left > 0 {
			d = append(d, fmt.Sprintf("timeout %s, in %s", text.Duration(seconds(*h.Timeout)), text.Duration(left)))
		} else {
			d = append(d, fmt.Sprintf("timeout %s, %s ago", text.Duration(seconds(*h.Timeout)), text.Duration(-left)))
		}
	}
	if h.Idle != nil {
		d = append(d, "idle-timeout "+text.Duration(seconds(*h.Idle)))
	}
	if h.KeepaliveAge != nil {
		d = append(d, "keepalive "+text.Duration(seconds(*h.KeepaliveAge))+" ago")
	}
	return d
}

func waiterFacts(t *Waiter) []string {
	d := []string{text.OneLine(t.Lease), "pid " + strconv.Itoa(t.PID), text.OneLine(t.User + "@" + t.Host), text.OneLine(t.For)}
	for _, id := range t.Holds {
		d = append(d, "holds "+text.OneLine(id))
	}
	if t.Weight > 1 {
		d = append(d, fmt.Sprintf("weight %d", t.Weight))
	}
	if t.Priority != 0 {
		d = append(d, fmt.Sprintf("priority %d", t.Priority))
	}
	return append(d, names(t.Job, t.Labels)...)
}
