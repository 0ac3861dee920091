package view

import (
	"strings"

	"berth/cmd/text"
)

// phrases are a line that can be shortened phrase by phrase until it fits.
type phrases []phrase

type phrase struct {
	forms   []string // from the longest to the shortest
	rank    int      // the highest is shortened first
	elastic bool     // it is cut when nothing else can be shortened
}

// minElastic is how many columns an elastic phrase keeps.
const minElastic = 10

// and adds a phrase with one form.
func (p phrases) and(s string) phrases { return append(p, phrase{forms: []string{s}}) }

// Fit is the line with berth's name before it, in so many columns. With 0 it is whole and
// without the name, which its printer adds.
func (p phrases) Fit(columns int) string {
	if columns == 0 {
		return p.line()
	}
	for {
		s := "berth: " + p.line()
		if text.Columns(s) <= columns {
			return s
		}
		next := -1
		for i, f := range p {
			if len(f.forms) > 1 && (next < 0 || f.rank > p[next].rank) {
				next = i
			}
		}
		if next < 0 {
			return text.Shorten(p.shrunk(text.Columns(s)-columns), columns)
		}
		p[next].forms = p[next].forms[1:]
	}
}

// shrunk is the line after the elastic phrase has lost so many columns.
func (p phrases) shrunk(columns int) string {
	for i, f := range p {
		if f.elastic {
			p[i].forms = []string{text.Shorten(f.forms[0], max(minElastic, text.Columns(f.forms[0])-columns))}
		}
	}
	return "berth: " + p.line()
}

func (p phrases) line() string {
	var b strings.Builder
	for _, f := range p {
		b.WriteString(f.forms[0])
	}
	return text.OneLine(b.String())
}
