package manual

import (
	"slices"
	"strings"
)

// textsOf is the day on which these texts last changed; mandoc wants one.
const textsOf = "2026-11-27"

// Man is the man page, in the man macros of roff: the commands, then the topics.
func Man(commands []Command) string {
	var p page
	p.macro(".TH BERTH 1 " + textsOf + " berth")
	p.macro(".SH NAME")
	p.macro(`berth \- run a command only while fewer than N of its kind are running`)
	p.macro(".SH SYNOPSIS")
	var ways []string
	for _, c := range commands {
		ways = append(ways, strings.Split(c.Synopsis, "\n")...)
	}
	p.literal(ways)
	p.macro(".SH COMMANDS")
	for _, c := range commands {
		p.command(c)
	}
	for _, name := range Topics {
		p.macro(".SH " + strings.ToUpper(name))
		summary := Summary(name)
		p.fill(strings.ToUpper(summary[:1]) + summary[1:] + ".")
		_, rest, _ := strings.Cut(Topic(name), "\n")
		p.blocks(rest)
	}
	return p.String()
}

// page writes roff. It begins a paragraph only where none begins by itself.
type page struct {
	strings.Builder
	begun bool // a heading stands just before
}

func (p *page) macro(line string) {
	p.WriteString(line + "\n")
	p.begun = strings.HasPrefix(line, ".S") || strings.HasPrefix(line, ".TP")
}

func (p *page) paragraph() {
	if !p.begun {
		p.macro(".PP")
	}
	p.begun = false
}

// fill writes text whose lines may be broken elsewhere.
func (p *page) fill(text string) {
	for _, line := range wrap(text, 60) {
		p.macro(escape(line))
	}
}

// literal writes lines that stay as they are.
func (p *page) literal(lines []string) {
	p.macro(".nf")
	for _, line := range lines {
		p.macro(escape(line))
	}
	p.macro(".fi")
}

func (p *page) command(c Command) {
	p.macro(".SS berth " + c.Name)
	p.literal(strings.Split(c.Synopsis, "\n"))
	p.paragraph()
	p.fill(c.Usage)
	p.blocks(c.Description)
	group := ""
	for _, f := range c.Flags {
		if f.Group != group {
			p.paragraph()
			p.fill(f.Group + ":")
			group = f.Group
		}
		p.entry(f.head(), f.Usage)
	}
}

func (p *page) entry(title, text string) {
	p.macro(".TP")
	p.macro(".B " + escape(title))
	p.fill(text)
}

// blocks writes a topic: what stands between two empty lines is a block.
func (p *page) blocks(text string) {
	for block := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		if block = strings.Trim(block, "\n"); block != "" {
			p.block(strings.Split(block, "\n"))
		}
	}
}

func (p *page) block(lines []string) {
	first := lines[0]
	switch {
	case len(lines) == 1 && first == strings.ToUpper(first):
		p.macro(".SS " + escape(first))
	case isIndented(first):
		p.paragraph()
		p.literal(lines)
	case len(lines) > 1 && isIndented(lines[1]) && isTable(lines[1:]):
		p.paragraph()
		p.macro(".B " + escape(first))
		p.literal(lines[1:])
	default:
		p.items(lines)
	}
}

// items writes entries, bullets, or a paragraph: each goes on up to where the next begins.
func (p *page) items(lines []string) {
	for len(lines) > 0 {
		first, rest := lines[0], lines[1:]
		switch {
		case strings.HasPrefix(first, "- "):
			n := until(rest, func(l string) bool { return strings.HasPrefix(l, "- ") || !isIndented(l) })
			p.macro(`.IP \(bu 2`)
			p.fill(first[2:] + " " + strings.Join(rest[:n], " "))
			lines = rest[n:]
		case len(rest) > 0 && isIndented(rest[0]):
			n := until(rest, func(l string) bool { return !isIndented(l) })
			p.entry(first, strings.Join(rest[:n], " "))
			lines = rest[n:]
		default:
			n := until(rest, func(l string) bool { return strings.HasPrefix(l, "- ") || isIndented(l) })
			if n < len(rest) && isIndented(rest[n]) { // the last of these is the title of an entry
				n--
			}
			p.paragraph()
			p.fill(first + " " + strings.Join(rest[:n], " "))
			lines = rest[n:]
		}
	}
}

func until(lines []string, is func(string) bool) int {
	if i := slices.IndexFunc(lines, is); i >= 0 {
		return i
	}
	return len(lines)
}

func isIndented(line string) bool { return strings.HasPrefix(line, "  ") }

// isTable reports whether lines have columns, with a gap between them.
func isTable(lines []string) bool {
	return slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(strings.TrimSpace(l), "   ") })
}

// escape keeps roff from reading a line as more than text. A hyphen stays one that
// can be copied into a shell.
func escape(line string) string {
	line = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, "…", "...").Replace(line)
	if strings.HasPrefix(line, ".") {
		line = `\&` + line
	}
	return line
}
