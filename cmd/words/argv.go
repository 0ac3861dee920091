package words

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"berth/cmd/storename"
	"berth/cmd/text"
)

// Argv reads what was typed after a command's name. The library would take the last
// of two values, and the next flag for the value of one that lacks its own; it
// knows no -n2. So we write down what was typed in the one form that it cannot
// take for something else: --name=value for each flag, then --, then the operands.
type Argv struct {
	Known    []cli.Flag
	flags    []string
	operands []string
	Given    map[string]Given // by a flag's first name
	help     bool
	Err      error // the first
}

// Given is a flag that was there before.
type Given struct{ typed, value string }

// Normal is the words in that form. With anywhere set, flags may stand behind
// operands, too: 'ls POOL --json' is what people type. Not for run, whose operands
// are somebody else's command line. --help among the flags is all that counts.
func Normal(words []string, known []cli.Flag, anywhere bool) ([]string, error) {
	a := Argv{Known: known, Given: map[string]Given{}}
	for len(words) > 0 {
		w, rest := words[0], words[1:]
		switch {
		case w == "--":
			a.operands, words = append(a.operands, rest...), nil
		case len(w) > 1 && w[0] == '-' && !(anywhere && IsNegative(w)):
			words = a.Flag(w, rest)
		case anywhere:
			a.operands, words = append(a.operands, w), rest
		default:
			a.operands, words = words, nil
		}
	}
	switch {
	case a.help:
		return []string{"--help"}, nil
	case a.Err != nil:
		return nil, a.Err
	}
	return append(append(a.flags, "--"), a.operands...), nil
}

// IsNegative tells -5, -1.5s and -5% from a flag: none of ours begins with a digit.
func IsNegative(w string) bool {
	digits := strings.TrimPrefix(w, "-")
	digits = strings.TrimPrefix(digits, ".")
	return w != digits && w[0] == '-' && digits != "" && '0' <= digits[0] && digits[0] <= '9'
}

// Flag reads one word of flags and returns the words after it and its value. A
// long name may have one dash, as it always could here.
func (a *Argv) Flag(word string, rest []string) []string {
	body := strings.TrimPrefix(word[1:], "-")
	name, value, attached := strings.Cut(body, "=")
	long := body != word[1:]
	switch f := a.find(name); {
	case name == "help", name == "h":
		a.help = true
	case f != nil:
		return a.take(f, word[:len(word)-len(body)]+name, value, attached, rest)
	case long:
		a.unknown(word)
	default:
		return a.cluster(word, rest)
	}
	return rest
}

// cluster reads -qn2: switches of one letter, and last perhaps one with a value.
func (a *Argv) cluster(word string, rest []string) []string {
	for i, letter := range word[1:] {
		f := a.find(string(letter))
		switch {
		case letter == 'h' && f == nil:
			a.help = true
		case f == nil, isSlip(word, a.Known): // -pools is hardly the pool "ools"
			a.unknown(word)
			return rest
		case isSwitch(f):
			a.take(f, "-"+string(letter), "", false, nil)
		default:
			value := word[1+i+len(string(letter)):]
			return a.take(f, "-"+string(letter), strings.TrimPrefix(value, "="), value != "", rest)
		}
	}
	return rest
}

// take writes one flag down, with the next word for a value where none is attached.
func (a *Argv) take(f cli.Flag, typed, value string, attached bool, rest []string) []string {
	name := f.Names()[0]
	switch {
	case isSwitch(f) && !attached:
		value = "true"
	case isSwitch(f):
		if _, err := strconv.ParseBool(value); err != nil {
			a.fail(fmt.Errorf("--%s: %q is neither true nor false", name, value))
		}
		typed += "=" + value
	case !attached && len(rest) == 0:
		a.fail(fmt.Errorf("%s lacks its value: it is the last word", typed))
		return rest
	case !attached && strings.HasPrefix(rest[0], "-") && !(isNumeric(f) && IsNegative(rest[0])):
		a.lacks(f, typed, rest[0])
		return rest
	case !attached:
		value, rest = rest[0], rest[1:]
		fallthrough
	default:
		typed += " " + text.Shorten(text.Quoted([]string{storename.HidePasswords(value, []string{value})})[0], 60)
	}
	if before, twice := a.Given[name]; twice && !IsList(f) && !(isSwitch(f) && before.value == value) {
		a.fail(fmt.Errorf("--%s is given twice, as %s and as %s: leave one out", name, before.typed, typed))
	}
	a.Given[name] = Given{typed, value}
	a.flags = append(a.flags, "--"+name+"="+value)
	return rest
}

// lacks refuses a value that is somebody's next word, and says how to mean it.
func (a *Argv) lacks(f cli.Flag, typed, next string) {
	err := fmt.Errorf("%s lacks its value: %q follows", typed, next)
	value := "value"
	if d, ok := f.(cli.DocGenerationFlag); ok {
		value, _ = ValueOf(d)
	}
	switch missing := fmt.Sprintf("%s takes a %s; perhaps a variable there is not set", typed, value); {
	case isNumeric(f):
	case next == "--":
		err = Hinted(err, missing)
	default:
		word := text.Quoted([]string{next})[0]
		err = Hinted(err, fmt.Sprintf("%s; if %s is the value: --%s=%s", missing, word, f.Names()[0], word))
	}
	a.fail(err)
}

func (a *Argv) unknown(word string) {
	name, _, _ := strings.Cut(word, "=")
	err := fmt.Errorf("unknown flag %s", name)
	if f := meant(name, a.Known); f != nil {
		way := strings.Join(Dashed(f), ", ")
		if doesNotWait[strings.TrimLeft(name, "-")] {
			way = "--wait 0"
		}
		err = Hinted(err, fmt.Sprintf("did you mean %s?", way))
	}
	a.fail(err)
}

func (a *Argv) fail(err error) {
	if a.Err == nil {
		a.Err = err
	}
}

func (a *Argv) find(name string) cli.Flag {
	if i := slices.IndexFunc(a.Known, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) }); i >= 0 {
		return a.Known[i]
	}
	return nil
}

func isSwitch(f cli.Flag) bool {
	_, ok := f.(*boolFlag)
	return ok
}

func IsList(f cli.Flag) bool {
	_, ok := f.(*listFlag)
	return ok
}

func isNumeric(f cli.Flag) bool {
	s, ok := f.(*stringFlag)
	return ok && s.number
}
