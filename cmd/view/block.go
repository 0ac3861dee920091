package view

import (
	"io"
	"strings"

	"berth/cmd/text"
)

// Table is what people see of the pools, in so many columns; 0: whole.
func Table(pools []Pool, idleToo, long bool, columns int) []Block {
	shown := pools
	if !idleToo {
		shown = nil
		for _, p := range pools {
			if !p.idle() {
				shown = append(shown, p)
			}
		}
	}
	switch {
	case len(shown) > 0 && long:
		return longTable(shown, columns)
	case len(shown) > 0:
		return table(shown, columns)
	case len(pools) > 0:
		return []Block{{Head: []TextLine{{Text: "nothing runs and nobody waits (" + text.Plural(len(pools), "idle pool") + ": berth ls -a)"}}}}
	}
	return []Block{{Head: []TextLine{{Text: "nothing runs and nobody waits: there is no pool yet"}}}}
}

// idle reports whether there is nothing to show of the pool. A drained pool is shown: it may
// have been forgotten.
func (p *Pool) idle() bool {
	drained := p.OwnLimit != nil && *p.OwnLimit == 0
	return len(p.Holders)+len(p.Waiters) == 0 && !p.unread && p.LockHeld == "" && !drained
}

// TextLine is a line of the screen, already cut and escaped. One part of it may have a colour.
type TextLine struct {
	Text     string
	Color    string // "" none
	from, To int    // that part, in bytes
}

func (t TextLine) paint(color bool) string {
	if !color || t.Color == "" || t.To > len(t.Text) {
		return t.Text
	}
	return t.Text[:t.from] + "\x1b[" + t.Color + "m" + t.Text[t.from:t.To] + "\x1b[0m" + t.Text[t.To:]
}

// Block is what is shown of one pool.
type Block struct {
	Head    []TextLine
	jobs    [][]TextLine
	holders int // how many of the jobs hold slots; the others wait
}

// Flat are the lines of the blocks, with an empty line between two blocks.
func Flat(blocks []Block) []TextLine {
	var out []TextLine
	for i, b := range blocks {
		if i > 0 {
			out = append(out, TextLine{})
		}
		out = append(out, b.Head...)
		for _, j := range b.jobs {
			out = append(out, j...)
		}
	}
	return out
}

// Print writes lines.
func Print(w io.Writer, lines []TextLine, color bool) error {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.paint(color) + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Note is a block that says something of all pools.
func Note(fact string, columns int) Block {
	return Block{Head: []TextLine{{Text: cut(text.OneLine(fact), columns)}}}
}
