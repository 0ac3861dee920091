// Package words turns the words that were typed into plain requests, and describes all
// commands and flags.
package words

import (
	"fmt"
	"slices"
	"strings"

	"berth/cmd/text"
)

// Command is one of berth's commands.
type Command struct {
	Name        string
	Usage       string // one sentence
	Synopsis    string // a line for each way to call it
	Description string
	Flags       []Flag

	operands bool // are another program's command line
	parse    func(*parser) any
}

// Flag is a flag of a command.
type Flag struct {
	Group   string // the heading that it stands under in the help; "" none
	Name    string
	Short   string // one letter; "" none
	Value   string // what its value is called; "" for a switch
	Default string // what counts when it is not typed
	Kind    Kind
	Usage   string
}

// Kind is what a flag takes.
type Kind int

const (
	Text   Kind = iota
	Number      // or a duration, a size, a share: -5 is then a value and not the next flag
	Switch      // nothing
	List        // text, and it may be given several times
)

// Names are a flag's names as they are typed, the short one first.
func (f *Flag) Names() []string {
	if f.Short == "" {
		return []string{"--" + f.Name}
	}
	return []string{"-" + f.Short, "--" + f.Name}
}

// long are the names without their dashes.
func (f *Flag) long() []string {
	if f.Short == "" {
		return []string{f.Name}
	}
	return []string{f.Name, f.Short}
}

// commands are functions because flags take time to build, and a start is short.
var commands = []struct {
	name  string
	build func() Command
}{
	{"run", runCommand}, {"acquire", acquireCommand}, {"release", releaseCommand}, {"ls", lsCommand},
	{"limit", limitCommand}, {"probe", probeCommand}, {"stop", stopCommand},
	{"wait", waitCommand}, {"doctor", doctorCommand}, {"held", heldCommand}, {"keepalive", keepaliveCommand}, {"token", tokenCommand},
	{"completion", completionCommand}, {"man", manCommand}, {"version", versionCommand}, {"help", helpCommand},
}

// Commands describes all commands.
func Commands() []Command {
	var all []Command
	for _, c := range commands {
		all = append(all, c.build())
	}
	return all
}

func names() (all []string) {
	for _, c := range commands {
		all = append(all, c.name)
	}
	return all
}

// Parse returns the request that the words after berth's name make: a Run, *Acquire, Release, Ls, Limit,
// Probe, Stop, Held, Keepalive, Token, Completion, Man, Version or Help. Its errors are UsageErrors.
func Parse(words []string) (any, error) {
	switch {
	case len(words) > 0 && words[0] == "--version":
		words = append([]string{"version"}, words[1:]...)
	case len(words) > 0 && (words[0] == "--help" || words[0] == "-h"):
		words = append([]string{"help"}, words[1:min(2, len(words))]...)
	case len(words) > 0 && words[0] == "--":
		words = words[1:]
	}
	if len(words) == 0 {
		return Help{}, nil
	}
	for _, c := range commands {
		if c.name == words[0] {
			return c.build().read(words[1:])
		}
	}
	if w := words[0]; len(words) == 1 && (w == "-v" || w == "-V") {
		return nil, Mistake(Hinted(fmt.Errorf("unknown flag %s", w), "berth version"), "berth")
	}
	if strings.HasPrefix(words[0], "-") && words[0] != "-" {
		return nil, Mistake(misplaced(words), "berth")
	}
	return nil, Mistake(noCommand(words[0]), "berth")
}

func (c Command) read(words []string) (any, error) {
	l := read(words, c.Flags, !c.operands)
	switch {
	case l.help:
		return Help{Word: c.Name}, nil
	case l.strange != "":
		return nil, Mistake(c.elsewhere(l), "berth "+c.Name)
	case l.err != nil:
		return nil, Mistake(l.err, "berth "+c.Name)
	}
	typed.note(l)
	request, err := c.run(l)
	if err != nil {
		return nil, Mistake(err, "berth "+c.Name)
	}
	return request, nil
}

// elsewhere is the error for a flag that c lacks, with what takes it: an operand, or the few
// commands that have it.
func (c Command) elsewhere(l *parsedLine) error {
	name := strings.TrimLeft(l.strange, "-")
	if (name == "pool" || name == "p") && strings.Contains(c.Synopsis, " POOL") {
		return Hinted(l.err, fmt.Sprintf("berth %s POOL", c.Name))
	}
	if where := WhereIsFlag(name); where != "" {
		return Hinted(l.err, where)
	}
	return l.err
}

// WhereIsFlag says which commands have a flag, "" if none has it, or more than two.
func WhereIsFlag(name string) string {
	var have []string
	for _, c := range commands {
		for _, f := range c.build().Flags {
			if f.Name == name {
				have = append(have, "berth "+c.name)
			}
		}
	}
	if len(have) == 0 || len(have) > 2 {
		return ""
	}
	return fmt.Sprintf("--%s is a flag of %s", name, strings.Join(have, " and "))
}

// UnknownCommandError says that a word is not the name of a command.
type UnknownCommandError struct{ Word string }

func (e *UnknownCommandError) Error() string {
	return fmt.Sprintf("%q is not a command of berth (to run it: berth run -- %s)", e.Word, text.Quoted([]string{e.Word})[0])
}

func noCommand(word string) error {
	err := error(&UnknownCommandError{word})
	if m := CommandMeant(word, names()); m != "" {
		err = Hinted(err, fmt.Sprintf("did you mean berth %s?", m))
	}
	return err
}

// misplaced is about a flag before the command that it belongs to: the one that is
// typed behind it, else the first that has such a flag.
func misplaced(words []string) error {
	c, rest := commandOf(words)
	if c == nil {
		return read(words[:1], runFlags(), false).err
	}
	l := read(rest, c.Flags, !c.operands)
	if l.err != nil {
		return l.err
	}
	typed.note(l)
	operands := 0
	if c.operands {
		operands = len(l.operands)
	}
	next := "berth " + c.Name + " " + typed.before(operands)
	switch {
	case operands > 0:
		next += "-- " + strings.Join(text.Quoted(l.operands), " ")
	case c.operands:
		next += "-- COMMAND"
	}
	name, _, _ := strings.Cut(words[0], "=")
	return Hinted(fmt.Errorf("put %s after the command", name), strings.TrimSpace(next))
}

// commandOf is the command that such words are about, and the words without its name.
func commandOf(words []string) (c *Command, rest []string) {
	for _, known := range Commands() {
		if i := slices.Index(words, known.Name); i > 0 && !slices.Contains(words[:i], "--") {
			return &known, slices.Delete(slices.Clone(words), i, i+1)
		}
	}
	for _, known := range Commands() {
		l := &parsedLine{known: known.Flags, given: map[string][]given{}}
		if l.flag(words[0], words[1:]); l.err == nil {
			return &known, words
		}
	}
	return nil, words
}

// noArguments refuses operands.
func (p *parser) noArguments() {
	if o := p.operands(); len(o) > 0 {
		p.fail(fmt.Errorf("unexpected argument %q", o[0]))
	}
}
