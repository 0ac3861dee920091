package cmd

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// fullScreen is all of a terminal, which is given back as it was: the alternate one, with
// the cursor hidden, and without lines that go on in the next one when a character is
// wider than we think.
type fullScreen struct {
	w       io.Writer
	color   bool
	entered bool
}

const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[?7l"
	leaveScreen = "\x1b[?7h\x1b[?25h\x1b[?1049l"
)

// draw writes all lines with one write, over the old ones: nothing is erased that is
// not written again, so nothing flickers.
func (s *fullScreen) draw(lines []textLine, columns int) error {
	var b strings.Builder
	if !s.entered {
		s.entered = true
		b.WriteString(enterScreen)
	}
	b.WriteString("\x1b[H")
	for i, l := range lines {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(l.paint(s.color))
		if columnsOf(l.text) < columns { // after the last column it would erase that one
			b.WriteString("\x1b[K")
		}
	}
	b.WriteString("\x1b[J")
	_, err := io.WriteString(s.w, b.String())
	return err
}

func (s *fullScreen) leave() {
	if s.entered {
		s.entered = false
		_, _ = io.WriteString(s.w, leaveScreen)
	}
}

// fitRows are the lines of the blocks that fit. What is said of each pool comes before
// the jobs of another: one pool with a hundred jobs does not hide that the next one is
// full.
func fitRows(blocks []block, rows int) []textLine {
	whole := flat(blocks)
	if len(whole) <= rows {
		return whole
	}
	heads, want := 0, make([]int, len(blocks))
	for i, b := range blocks {
		heads += len(b.head)
		want[i] = len(slices.Concat(b.jobs...))
	}
	if rows < heads+len(blocks) { // not even these
		keep := max(0, rows-1)
		return append(whole[:keep:keep], textLine{text: fmt.Sprintf("and %s more", plural(len(whole)-keep, "line"))})
	}
	var out []textLine
	for i, n := range shares(want, rows-heads) {
		out = append(out, blocks[i].head...)
		out = append(out, blocks[i].upTo(n, want[i])...)
	}
	return out
}

// shares gives each as much as it wants, or, where that is more than there is, all who
// want more than that the same.
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

// upTo are the jobs that fit into n lines, and how many do not. Of those who wait the
// first are always among them.
func (b *block) upTo(n, want int) (out []textLine) {
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
	return append(out, textLine{text: more})
}

// atFront are the first jobs that take no more than n lines.
func atFront(jobs [][]textLine, n int) [][]textLine {
	for i, j := range jobs {
		if n -= len(j); n < 0 {
			return jobs[:i]
		}
	}
	return jobs
}
