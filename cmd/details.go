package cmd

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"berth/lease"
)

// The long form: a few lines a job, with all that is known of it.

const (
	detailIndent = "       "
	// detailColumns is where lines end when there is no terminal to say so.
	detailColumns = 80
)

func longTable(pools []poolJSON, columns int) []block {
	var blocks []block
	for _, p := range pools {
		b := block{head: heading(&p, columns), holders: len(p.Holders)}
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

func holderLines(h *holderJSON, columns int) []textLine {
	first := fmt.Sprintf("  slot %-4s ", slotList(h.Slots))
	state := oneLine(string(h.State))
	lines := hanging(fmt.Sprintf("%s%-8s %7s  %s", first, state, orDash(h.Held), commandLine(h.Command)), columns)
	if h.State != lease.Running && h.State != lease.Reserved {
		lines[0].color, lines[0].from, lines[0].to = colorOdd, len(first), len(first)+len(state)
	}
	lines = append(lines, details(holderFacts(h), columns)...)
	if h.Note == "" {
		return lines
	}
	return append(lines, indented(oneLine(h.Note), columns)...)
}

func waiterLines(w *waiterJSON, columns int) []textLine {
	r := waiterRow(w)
	lines := hanging(fmt.Sprintf("  %-9s %-8s %7s  %s", r.place, r.state, r.time, r.command), columns)
	return append(lines, details(waiterFacts(w), columns)...)
}

// hanging is text whose first line may be wider than the indented ones that it goes on in.
func hanging(text string, columns int) []textLine {
	if columns == 0 || columnsOf(text) <= columns {
		return []textLine{{text: text}}
	}
	first := wrapped(text, columns)[0]
	rest := strings.TrimLeft(text[min(len(text), len(first)):], " ")
	if rest == "" || columns <= len(detailIndent) {
		return []textLine{{text: cut(text, columns)}}
	}
	return append([]textLine{{text: first}}, indented(rest, columns)...)
}

// indented breaks text into lines below a job's first one.
func indented(text string, columns int) []textLine {
	if columns == 0 {
		return []textLine{{text: detailIndent + text}}
	}
	var lines []textLine
	for _, l := range wrapped(text, columns-len(detailIndent)) {
		lines = append(lines, textLine{text: cut(detailIndent+l, columns)})
	}
	return lines
}

func orDetail(columns int) int {
	if columns == 0 {
		return detailColumns
	}
	return columns
}

// details fills indented lines with facts, two blanks between them. None is broken but
// one that is wider than a line.
func details(facts []string, columns int) []textLine {
	var lines []textLine
	line := ""
	for _, f := range facts {
		if line != "" && columnsOf(detailIndent+line+gap+f) > orDetail(columns) {
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

func holderFacts(h *holderJSON) []string {
	if h.State == lease.Damaged {
		return nil
	}
	pid := "pid " + strconv.Itoa(h.PID)
	if h.ChildPID != nil && *h.ChildPID != h.PID {
		pid += ">" + strconv.Itoa(*h.ChildPID)
	}
	d := []string{oneLine(h.Lease), pid, oneLine(h.User + "@" + h.Host), fmt.Sprintf("token %d", h.Token)}
	if h.CPU != nil {
		d = append(d, "cpu "+short(seconds(*h.CPU)), "mem "+size(*h.RSS), fmt.Sprintf("procs %d", *h.Procs))
	}
	if h.Beat != nil {
		d = append(d, "beat "+short(seconds(*h.Beat))+" ago")
	}
	d = append(d, limitFacts(h)...)
	if h.dir != "" {
		d = append(d, "dir "+oneLine(h.dir))
	}
	if h.Need != nil {
		d = append(d, "need "+oneLine(h.Need.String()))
	}
	if h.Priority != 0 {
		d = append(d, fmt.Sprintf("priority %d", h.Priority))
	}
	return append(d, labelList(h.Labels)...)
}

// limitFacts are when the job is ended.
func limitFacts(h *holderJSON) (d []string) {
	if h.Deadline != nil {
		left := time.Until(*h.Deadline)
		if left > 0 {
			d = append(d, fmt.Sprintf("timeout %s, in %s", short(seconds(*h.Timeout)), short(left)))
		} else {
			d = append(d, fmt.Sprintf("timeout %s, %s ago", short(seconds(*h.Timeout)), short(-left)))
		}
	}
	if h.Idle != nil {
		d = append(d, "idle-timeout "+short(seconds(*h.Idle)))
	}
	if h.Busy != nil {
		d = append(d, "keepalive "+short(seconds(*h.Busy))+" ago")
	}
	return d
}

func waiterFacts(t *waiterJSON) []string {
	d := []string{oneLine(t.Lease), "pid " + strconv.Itoa(t.PID), oneLine(t.User + "@" + t.Host), oneLine(t.For)}
	if t.Weight > 1 {
		d = append(d, fmt.Sprintf("weight %d", t.Weight))
	}
	if t.Priority != 0 {
		d = append(d, fmt.Sprintf("priority %d", t.Priority))
	}
	return append(d, labelList(t.Labels)...)
}
