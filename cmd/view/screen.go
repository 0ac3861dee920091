package view

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"berth/cmd/text"
)

// Screen is the alternate screen of a terminal, so that the terminal is afterwards as it was.
// The cursor is hidden, and lines do not wrap if a character is wider than expected.
type Screen struct {
	W       io.Writer
	Color   bool
	Entered bool
}

const (
	EnterScreen = "\x1b[?1049h\x1b[?25l\x1b[?7l"
	LeaveScreen = "\x1b[?7h\x1b[?25h\x1b[?1049l"
)

// Draw writes all lines over the old ones, in one write. Only what is written again is erased,
// so nothing flickers.
func (s *Screen) Draw(lines []TextLine, columns int) error {
	var b strings.Builder
	if !s.Entered {
		s.Entered = true
		b.WriteString(EnterScreen)
	}
	b.WriteString("\x1b[H")
	for i, l := range lines {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(l.paint(s.Color))
		if text.Columns(l.Text) < columns { // after the last column it would erase that one
			b.WriteString("\x1b[K")
		}
	}
	b.WriteString("\x1b[J")
	_, err := io.WriteString(s.W, b.String())
	return err
}

func (s *Screen) Leave() {
	if s.Entered {
		s.Entered = false
		_, _ = io.WriteString(s.W, LeaveScreen)
	}
}

// FitRows are the lines of the blocks that fit into so many rows. All headings come before
// any job, so that a pool with a hundred jobs does not hide that the next one is full.
func FitRows(blocks []Block, rows int) []TextLine {
	whole := Flat(blocks)
	if len(whole) <= rows {
		return whole
	}
	heads, want := 0, make([]int, len(blocks))
	for i, b := range blocks {
		heads += len(b.Head)
		want[i] = len(slices.Concat(b.jobs...))
	}
	if rows < heads+len(blocks) { // not even the headings
		keep := max(0, rows-1)
		return append(whole[:keep:keep], TextLine{Text: fmt.Sprintf("and %s more", text.Plural(len(whole)-keep, "line"))})
	}
	var out []TextLine
	for i, n := range shares(want, rows-heads) {
		out = append(out, blocks[i].Head...)
		out = append(out, blocks[i].upTo(n, want[i])...)
	}
	return out
}

// shares divides room: each gets what it wants, or, if that is too much, no more than any other
// that wants more.
func shares(want []int, room int) []int {
	given := make([]int, len(want))
	for more := true; more && room > 0; {
		more = false
		for i := range want {
			if given[i] < want[i] && room > 0 {
				given[i]++
				room--
				more = true
			}
		}
	}
	return given
}

// upTo are the jobs that fit into n lines, and a count of the others. The first waiters are
// always among them.
func (b *Block) upTo(n, want int) (out []TextLine) {
	if n >= want {
		return slices.Concat(b.jobs...)
	}
	room := n - 1
	holders, line := b.jobs[:b.holders], b.jobs[b.holders:]
	waiting := atFront(line, max(1, room/4))
	running := atFront(holders, room-len(slices.Concat(waiting...)))
	waiting = atFront(line, room-len(slices.Concat(running...)))
	more := fmt.Sprintf("  and %d more", len(b.jobs)-len(running)-len(waiting))
	if hidden := len(line) - len(waiting); hidden > 0 && len(holders) > len(running) {
		more += fmt.Sprintf(", %d of them in the line", hidden)
	} else if hidden > 0 {
		more += " in the line"
	}
	out = append(slices.Concat(running...), slices.Concat(waiting...)...)
	return append(out, TextLine{Text: more})
}

// atFront are the first jobs that take no more than n lines.
func atFront(jobs [][]TextLine, n int) [][]TextLine {
	for i, j := range jobs {
		if n -= len(j); n < 0 {
			return jobs[:i]
		}
	}
	return jobs
}
