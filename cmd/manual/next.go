package manual

import (
	_ "embed"
	"slices"
	"strings"
)

// Shells are those that there is a completion for.
var Shells = []string{"bash", "zsh", "fish"}

//go:embed completion/berth.bash
var bash string

//go:embed completion/berth.zsh
var zsh string

//go:embed completion/berth.fish
var fish string

// Completion is the script that completes command lines of berth in a shell, "" for a
// shell that there is none for. It calls 'berth completion next'.
func Completion(shell string) string {
	return map[string]string{"bash": bash, "zsh": zsh, "fish": fish}[shell]
}

// Operands are what stands behind a command's flags.
type Operands int

const (
	None Operands = iota
	Program
	Pool
	Pools
	PoolOrLease // a lease where a / was typed
	Leases
	Jobs // names of jobs, which only flags take
	Acquired
	Limit
	Check
	Shell
	Page
)

// Kind says what completes a word.
type Kind string

const (
	Words       Kind = "words" // those of Next
	Files       Kind = "files"
	Directories Kind = "directories"
	Users       Kind = "users"
	Elsewhere   Kind = "command" // the operands are another command's line
)

// Word is one way to complete a word.
type Word struct{ Text, Summary string }

// Next is how a command line may go on.
type Next struct {
	Kind  Kind
	Words []Word
}

// Line is what a command line has before the word that is to be completed.
type Line struct {
	Command  string            // its name
	Given    map[string]string // by a flag's last name
	Pending  string            // the last name of the flag whose value the word is; "" none
	Operands []string
	Ended    bool // no flag can follow
}

// Lookup finds what the store of the line knows: its Pools, the Leases in them, the Acquired ones
// among those, or the names of their Jobs.
type Lookup func(what Operands) []Word

// Commands completes the word after berth.
func Commands(begun string, commands []Command) Next {
	words := []Word{{"--help", ""}, {"--version", ""}}
	for _, c := range commands {
		words = append(words, Word{c.Name, c.Usage})
	}
	return beginning(words, begun)
}

// Complete says how a word after a line may be completed.
func Complete(line Line, begun string, commands []Command, lookup Lookup) Next {
	i := slices.IndexFunc(commands, func(c Command) bool { return c.Name == line.Command })
	if i < 0 {
		return Next{Kind: Words}
	}
	c := completer{line, commands[i], commands, lookup}
	return c.next(begun)
}

type completer struct {
	Line
	command  Command
	commands []Command
	lookup   Lookup
}

func (c *completer) find(name string) *Flag {
	for _, f := range c.command.Flags {
		if slices.Contains(f.Names, name) {
			return &f
		}
	}
	return nil
}

func (c *completer) next(begun string) Next {
	name, value, attached := strings.Cut(begun, "=")
	switch {
	case c.command.Operands == Program && len(c.Line.Operands) > 0:
		return Next{Kind: Elsewhere}
	case c.Pending != "":
		return c.value(c.Pending, begun)
	case !c.Ended && attached && strings.HasPrefix(begun, "--"):
		if c.find(name) == nil {
			return Next{Kind: Words}
		}
		next := c.value(name, value)
		for i := range next.Words {
			next.Words[i].Text = name + "=" + next.Words[i].Text
		}
		return next
	case !c.Ended && strings.HasPrefix(begun, "-"):
		return beginning(c.flags(), begun)
	}
	return c.operand(begun)
}

// flags are those that may still be given.
func (c *completer) flags() []Word {
	words := []Word{{"--help", "print the help of this command"}}
	for _, f := range c.command.Flags {
		if _, given := c.Given[f.Names[len(f.Names)-1]]; given && !f.Repeat {
			continue
		}
		for _, n := range f.Names {
			words = append(words, Word{n, f.Usage})
		}
	}
	return words
}

// Fixed are the words that a flag takes, where it takes no others, or these
// besides numbers. One that ends in = goes on.
var Fixed = map[string][]string{
	"--hold":        {"command", "tree"},
	"--if-orphaned": {"keep", "kill"},
	"--leftovers":   {"keep", "kill"},
	"--nested":      {"reuse", "take", "fail"},
	"--on":          {"start=", "stop=", "timeout=", "keepalive=", "lost="},
	"--on-busy":     {"fail", "skip", "run", "replace"},
	"--on-lost":     {"kill", "warn"},
	"--signal":      {"TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "KILL"},
	"--slots":       {"auto"},
}

// refused are those of Fixed that berth acquire does not take.
var refused = map[string][]string{
	"--nested":  {"reuse"},
	"--on-busy": {"skip", "run"},
}

func (c *completer) value(flag, begun string) Next {
	switch flag {
	case "--pool":
		return beginning(c.lookup(Pools), begun)
	case "--job":
		return beginning(c.lookup(Jobs), begun)
	case "--lease":
		return beginning(c.lookup(Acquired), begun)
	case "--store":
		return Next{Kind: Directories}
	case "--store-owner":
		return Next{Kind: Users}
	case "--min-disk", "--log":
		return Next{Kind: Files}
	default:
		return beginning(wordsOnly(c.fixed(flag)), begun)
	}
}

func (c *completer) fixed(flag string) []string {
	if c.Command != "acquire" {
		return Fixed[flag]
	}
	return slices.DeleteFunc(slices.Clone(Fixed[flag]), func(w string) bool { return slices.Contains(refused[flag], w) })
}

func (c *completer) operand(begun string) Next {
	first := len(c.Line.Operands) == 0
	switch o := c.command.Operands; {
	case o == Program:
		return Next{Kind: Elsewhere}
	case first && o == PoolOrLease && strings.Contains(begun, "/"):
		return beginning(c.lookup(Leases), begun)
	case first && o == PoolOrLease:
		return beginning(c.lookup(Pools), begun)
	case o == Leases, o == Acquired:
		return beginning(c.lookup(o), begun)
	case o == Pools, first && (o == Pool || o == Limit && c.Given["--pool"] == ""):
		return beginning(c.lookup(Pools), begun)
	case o == Limit && len(c.Line.Operands) < 2:
		return beginning(wordsOnly([]string{"auto", "none", "0"}), begun)
	case o == Check && first:
		return beginning(wordsOnly([]string{"check"}), begun)
	case o == Check:
		return Next{Kind: Files}
	case o == Shell && first:
		return beginning(wordsOnly(Shells), begun)
	case o == Page && first:
		return beginning(c.pages(), begun)
	}
	return Next{Kind: Words}
}

// pages are what berth help takes.
func (c *completer) pages() []Word {
	var words []Word
	for _, o := range c.commands {
		words = append(words, Word{o.Name, o.Usage})
	}
	for _, t := range Topics {
		words = append(words, Word{t, Summary(t)})
	}
	return words
}

func wordsOnly(texts []string) []Word {
	var words []Word
	for _, t := range texts {
		words = append(words, Word{Text: t})
	}
	return words
}

// beginning are the words that begin so.
func beginning(words []Word, begun string) Next {
	next := Next{Kind: Words}
	for _, w := range words {
		if strings.HasPrefix(w.Text, begun) {
			next.Words = append(next.Words, w)
		}
	}
	return next
}
