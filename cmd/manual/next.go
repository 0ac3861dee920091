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
	Leases
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
	Elsewhere   Kind = "command" // another command's line begins at word Next.Skip
)

// Word is one way to complete a word.
type Word struct{ Text, Summary string }

// Next is how a command line may go on.
type Next struct {
	Kind  Kind
	Skip  int
	Words []Word
}

// Lookup finds what a store knows: its pools, or with leases set the leases in them.
// The flags are those that name the store.
type Lookup func(leases bool, flags map[string]string) []Word

// Complete says how the last of these words may be completed; the first is berth.
func Complete(line []string, commands []Command, lookup Lookup) Next {
	if len(line) < 2 {
		return Next{Kind: Words}
	}
	last := line[len(line)-1]
	if len(line) == 2 {
		words := []Word{{"--help", ""}, {"--version", ""}}
		for _, c := range commands {
			words = append(words, Word{c.Name, c.Usage})
		}
		return beginning(words, last)
	}
	i := slices.IndexFunc(commands, func(c Command) bool { return c.Name == line[1] })
	if i < 0 {
		return Next{Kind: Words}
	}
	r := reader{command: commands[i], commands: commands, given: map[string]string{}, lookup: lookup}
	for i, word := range line[2 : len(line)-1] {
		if r.read(word); r.command.Operands == Program && len(r.operands) > 0 {
			return Next{Kind: Elsewhere, Skip: i + 2}
		}
	}
	next := r.next(last)
	if next.Kind == Elsewhere {
		next.Skip = len(line) - 1
	}
	return next
}

// reader reads what stands before the word that is to be completed.
type reader struct {
	command  Command
	commands []Command
	lookup   Lookup
	given    map[string]string // by a flag's last name
	pending  *Flag             // lacks its value
	operands []string
	ended    bool // there was a --
}

func (r *reader) read(word string) {
	switch {
	case r.pending != nil:
		r.give(r.pending, word)
	case !r.ended && word == "--":
		r.ended = true
	case !r.ended && strings.HasPrefix(word, "--"):
		name, value, attached := strings.Cut(word, "=")
		r.flag(name, value, attached)
	case !r.ended && len(word) > 1 && word[0] == '-':
		r.cluster(word[1:])
	default:
		r.operands = append(r.operands, word)
	}
}

// cluster reads switches of one letter, the last perhaps with its value: -qn2.
func (r *reader) cluster(letters string) {
	for i, letter := range letters {
		f := r.find("-" + string(letter))
		if f != nil && f.Value != "" {
			value := letters[i+len(string(letter)):]
			r.flag(f.Names[0], strings.TrimPrefix(value, "="), value != "")
			return
		}
		r.flag("-"+string(letter), "", false)
	}
}

func (r *reader) flag(name, value string, attached bool) {
	switch f := r.find(name); {
	case f == nil:
	case f.Value == "" || attached:
		r.give(f, value)
	default:
		r.pending = f
	}
}

func (r *reader) give(f *Flag, value string) {
	r.given[f.Names[len(f.Names)-1]] = value
	r.pending = nil
}

func (r *reader) find(name string) *Flag {
	for _, f := range r.command.Flags {
		if slices.Contains(f.Names, name) {
			return &f
		}
	}
	return nil
}

// next completes the last word.
func (r *reader) next(last string) Next {
	name, value, attached := strings.Cut(last, "=")
	switch {
	case r.pending != nil:
		return r.value(r.pending, last)
	case !r.ended && attached && strings.HasPrefix(last, "--"):
		f := r.find(name)
		if f == nil {
			return Next{Kind: Words}
		}
		next := r.value(f, value)
		for i := range next.Words {
			next.Words[i].Text = name + "=" + next.Words[i].Text
		}
		return next
	case !r.ended && strings.HasPrefix(last, "-"):
		return beginning(r.flags(), last)
	}
	return r.operand(last)
}

// flags are those that may still be given.
func (r *reader) flags() []Word {
	words := []Word{{"--help", "print the help of this command"}}
	for _, f := range r.command.Flags {
		if _, given := r.given[f.Names[len(f.Names)-1]]; given && !f.Repeat {
			continue
		}
		for _, n := range f.Names {
			words = append(words, Word{n, f.Usage})
		}
	}
	return words
}

// Fixed are the words that a flag takes, where it takes no others, or these
// besides numbers.
var Fixed = map[string][]string{
	"--hold":      {"command", "tree"},
	"--leftovers": {"keep", "kill"},
	"--nested":    {"reuse", "take", "fail"},
	"--on-busy":   {"fail", "skip", "run"},
	"--on-lost":   {"kill", "warn"},
	"--signal":    {"TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "KILL"},
	"--slots":     {"auto"},
}

func (r *reader) value(f *Flag, begun string) Next {
	switch name := f.Names[len(f.Names)-1]; name {
	case "--pool":
		return beginning(r.lookup(false, r.given), begun)
	case "--store":
		return Next{Kind: Directories}
	case "--store-owner":
		return Next{Kind: Users}
	case "--min-disk":
		return Next{Kind: Files}
	default:
		return beginning(plain(Fixed[name]), begun)
	}
}

func (r *reader) operand(begun string) Next {
	first := len(r.operands) == 0
	switch o := r.command.Operands; {
	case o == Program:
		return Next{Kind: Elsewhere}
	case o == Leases:
		return beginning(r.lookup(true, r.given), begun)
	case o == Pools, first && (o == Pool || o == Limit && r.given["--pool"] == ""):
		return beginning(r.lookup(false, r.given), begun)
	case o == Limit && len(r.operands) < 2:
		return beginning(plain([]string{"auto", "none", "0"}), begun)
	case o == Check && first:
		return beginning(plain([]string{"check"}), begun)
	case o == Check:
		return Next{Kind: Files}
	case o == Shell && first:
		return beginning(plain(Shells), begun)
	case o == Page && first:
		return beginning(r.pages(), begun)
	}
	return Next{Kind: Words}
}

// pages are what berth help takes.
func (r *reader) pages() []Word {
	var words []Word
	for _, c := range r.commands {
		words = append(words, Word{c.Name, c.Usage})
	}
	for _, t := range Topics {
		words = append(words, Word{t, Summary(t)})
	}
	return words
}

func plain(texts []string) []Word {
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
