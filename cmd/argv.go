package cmd

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"berth/cmd/text"
)

// argv reads what was typed after a command's name. The library would take the last
// of two values, and the next flag for the value of one that lacks its own; it
// knows no -n2. So we write down what was typed in the one form that it cannot
// take for something else: --name=value for each flag, then --, then the operands.
type argv struct {
	known    []cli.Flag
	flags    []string
	operands []string
	given    map[string]given // by a flag's first name
	help     bool
	err      error // the first
}

// given is a flag that was there before.
type given struct{ typed, value string }

// normal is the words in that form. With anywhere set, flags may stand behind
// operands, too: 'ls POOL --json' is what people type. Not for run, whose operands
// are somebody else's command line. --help among the flags is all that counts.
func normal(words []string, known []cli.Flag, anywhere bool) ([]string, error) {
	a := argv{known: known, given: map[string]given{}}
	for len(words) > 0 {
		w, rest := words[0], words[1:]
		switch {
		case w == "--":
			a.operands, words = append(a.operands, rest...), nil
		case len(w) > 1 && w[0] == '-' && !(anywhere && isNegative(w)):
			words = a.flag(w, rest)
		case anywhere:
			a.operands, words = append(a.operands, w), rest
		default:
			a.operands, words = words, nil
		}
	}
	switch {
	case a.help:
		return []string{"--help"}, nil
	case a.err != nil:
		return nil, a.err
	}
	return append(append(a.flags, "--"), a.operands...), nil
}

// isNegative tells -5, -1.5s and -5% from a flag: none of ours begins with a digit.
func isNegative(w string) bool {
	digits := strings.TrimPrefix(w, "-")
	digits = strings.TrimPrefix(digits, ".")
	return w != digits && w[0] == '-' && digits != "" && '0' <= digits[0] && digits[0] <= '9'
}

// flag reads one word of flags and returns the words after it and its value. A
// long name may have one dash, as it always could here.
func (a *argv) flag(word string, rest []string) []string {
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
func (a *argv) cluster(word string, rest []string) []string {
	for i, letter := range word[1:] {
		f := a.find(string(letter))
		switch {
		case letter == 'h' && f == nil:
			a.help = true
		case f == nil, isSlip(word, a.known): // -pools is hardly the pool "ools"
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
func (a *argv) take(f cli.Flag, typed, value string, attached bool, rest []string) []string {
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
	case !attached && strings.HasPrefix(rest[0], "-") && !(isNumeric(f) && isNegative(rest[0])):
		a.lacks(f, typed, rest[0])
		return rest
	case !attached:
		value, rest = rest[0], rest[1:]
		fallthrough
	default:
		typed += " " + text.Shorten(text.Quoted([]string{hidden(value, []string{value})})[0], 60)
	}
	if before, twice := a.given[name]; twice && !isList(f) && !(isSwitch(f) && before.value == value) {
		a.fail(fmt.Errorf("--%s is given twice, as %s and as %s: leave one out", name, before.typed, typed))
	}
	a.given[name] = given{typed, value}
	a.flags = append(a.flags, "--"+name+"="+value)
	return rest
}

// lacks refuses a value that is somebody's next word, and says how to mean it.
func (a *argv) lacks(f cli.Flag, typed, next string) {
	err := fmt.Errorf("%s lacks its value: %q follows", typed, next)
	value := "value"
	if d, ok := f.(cli.DocGenerationFlag); ok {
		value, _ = valueOf(d)
	}
	switch missing := fmt.Sprintf("%s takes a %s; perhaps a variable there is not set", typed, value); {
	case isNumeric(f):
	case next == "--":
		err = &hintedError{err, missing}
	default:
		word := text.Quoted([]string{next})[0]
		err = &hintedError{err, fmt.Sprintf("%s; if %s is the value: --%s=%s", missing, word, f.Names()[0], word)}
	}
	a.fail(err)
}

func (a *argv) unknown(word string) {
	name, _, _ := strings.Cut(word, "=")
	err := fmt.Errorf("unknown flag %s", name)
	if f := meant(name, a.known); f != nil {
		way := strings.Join(dashed(f), ", ")
		if doesNotWait[strings.TrimLeft(name, "-")] {
			way = "--wait 0"
		}
		err = &hintedError{err, fmt.Sprintf("did you mean %s?", way)}
	}
	a.fail(err)
}

func (a *argv) fail(err error) {
	if a.err == nil {
		a.err = err
	}
}

func (a *argv) find(name string) cli.Flag {
	if i := slices.IndexFunc(a.known, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) }); i >= 0 {
		return a.known[i]
	}
	return nil
}

func isSwitch(f cli.Flag) bool {
	_, ok := f.(*boolFlag)
	return ok
}

func isList(f cli.Flag) bool {
	_, ok := f.(*listFlag)
	return ok
}

func isNumeric(f cli.Flag) bool {
	s, ok := f.(*stringFlag)
	return ok && s.number
}
