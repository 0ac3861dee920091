package manual

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Command is one of berth's commands, as its help tells.
type Command struct {
	Name        string
	Usage       string // one sentence
	Synopsis    string // a line for each way to call it
	Description string
	Flags       []Flag
	Operands    Operands
}

// Flag is one flag of a command.
type Flag struct {
	Group  string   // the heading that it stands below
	Names  []string // as they are typed, the short one first
	Value  string   // what its value is called; "" for a switch
	Usage  string
	Repeat bool // may be given several times
}

// Help is the command's help, no line of which is longer than 80 columns.
func (c Command) Help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\nUsage:\n  %s\n", c.Usage, strings.ReplaceAll(c.Synopsis, "\n", "\n  "))
	if c.Description != "" {
		fmt.Fprintf(&b, "\n%s\n", c.Description)
	}
	group := ""
	for _, f := range c.Flags {
		if f.Group != group {
			fmt.Fprintf(&b, "\n%s:\n", f.Group)
			group = f.Group
		}
		f.help(&b)
	}
	return b.String()
}

const indent = 24

func (f Flag) help(b *strings.Builder) {
	head := "  " + f.head()
	if len(f.Names[0]) > 2 { // without a short name
		head = "    " + head
	}
	if len(head) > indent-2 {
		fmt.Fprintln(b, head)
		head = ""
	}
	for _, line := range wrap(f.Usage, 80-indent) {
		fmt.Fprintf(b, "%-*s%s\n", indent, head, line)
		head = ""
	}
}

// head is the flag with the name of its value, as it is typed.
func (f Flag) head() string {
	return strings.TrimRight(strings.Join(f.Names, ", ")+" "+f.Value, " ")
}

func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimLeft(line+" "+word, " ")
	}
	return append(lines, line)
}
