package words

import (
	"fmt"
	"strconv"
	"strings"

	"berth/cmd/storename"
	"berth/cmd/text"
)

// parsedLine is what was typed after the name of a command: flags, each with its value, and
// operands. A value is never the next flag, a flag is given once, -n2 is -n 2.
type parsedLine struct {
	known    []Flag
	words    []string // as they were typed
	flags    []string // each as --name=value
	operands []string
	given    map[string][]given // by a flag's name
	help     bool
	ended    bool   // there is a --
	pending  *Flag  // is the last word and lacks its value
	strange  string // a flag that is not known, with nothing that it may stand for
	err      error  // the first
}

// given is a flag that was typed, and its value.
type given struct{ typed, value string }

// read reads the words behind the name of a command. With anywhere set, flags may stand
// behind operands, too: 'ls POOL --json' is what people type. Not for run, whose operands
// are another program's command line. --help among the flags is all that counts.
func read(words []string, known []Flag, anywhere bool) *parsedLine {
	l := &parsedLine{known: known, words: words, given: map[string][]given{}}
	for len(words) > 0 {
		w, rest := words[0], words[1:]
		switch {
		case w == "--":
			l.operands, l.ended, words = append(l.operands, rest...), true, nil
		case len(w) > 1 && w[0] == '-' && !(anywhere && isNegative(w)):
			words = l.flag(w, rest)
		case anywhere:
			l.operands, words = append(l.operands, w), rest
		default:
			l.operands, words = words, nil
		}
	}
	return l
}

// isNegative reports whether w is -5, -1.5s or -5%, and no flag: none begins with a digit.
func isNegative(w string) bool {
	digits := strings.TrimPrefix(w, "-")
	digits = strings.TrimPrefix(digits, ".")
	return w != digits && w[0] == '-' && digits != "" && '0' <= digits[0] && digits[0] <= '9'
}

// flag reads one word of flags and returns the words after it and its value. A long name
// may have a single dash.
func (l *parsedLine) flag(word string, rest []string) []string {
	body := strings.TrimPrefix(word[1:], "-")
	name, value, attached := strings.Cut(body, "=")
	long := body != word[1:]
	switch f := l.find(name); {
	case name == "help", name == "h":
		l.help = true
	case f != nil:
		return l.take(f, word[:len(word)-len(body)]+name, value, attached, rest)
	case long:
		l.unknown(word)
	default:
		return l.cluster(word, rest)
	}
	return rest
}

// cluster reads -qn2: switches of one letter, of which the last may be a flag with a value.
func (l *parsedLine) cluster(word string, rest []string) []string {
	for i, letter := range word[1:] {
		f := l.find(string(letter))
		switch {
		case letter == 'h' && f == nil:
			l.help = true
		case f == nil, isSlip(word, l.known): // -pools is hardly the pool "ools"
			l.unknown(word)
			return rest
		case f.Kind == Switch:
			l.take(f, "-"+string(letter), "", false, nil)
		default:
			value := word[1+i+len(string(letter)):]
			return l.take(f, "-"+string(letter), strings.TrimPrefix(value, "="), value != "", rest)
		}
	}
	return rest
}

// take records one flag. Its value is the next word if none is attached.
func (l *parsedLine) take(f *Flag, typed, value string, attached bool, rest []string) []string {
	name := f.Name
	switch {
	case f.Kind == Switch && !attached:
		value = "true"
	case f.Kind == Switch:
		if _, err := strconv.ParseBool(value); err != nil {
			l.fail(fmt.Errorf("--%s: %q is neither true nor false", name, value))
		}
		typed += "=" + value
	case !attached && len(rest) == 0:
		l.pending = f
		l.fail(fmt.Errorf("%s needs a value", typed))
		return rest
	case !attached && strings.HasPrefix(rest[0], "-") && !(f.Kind == Number && isNegative(rest[0])):
		l.lacks(f, typed, rest[0])
		return rest
	case !attached:
		value, rest = rest[0], rest[1:]
		fallthrough
	default:
		typed += " " + text.Shorten(text.Quoted([]string{storename.HidePasswords(value, []string{value})})[0], 60)
	}
	if before := l.given[name]; len(before) > 0 && f.Kind != List && !(f.Kind == Switch && before[0].value == value) {
		l.fail(fmt.Errorf("--%s is given twice, as %s and as %s: leave one out", name, before[0].typed, typed))
	}
	l.given[name] = append(l.given[name], given{typed, value})
	l.flags = append(l.flags, "--"+name+"="+value)
	return rest
}

// lacks refuses a value that looks like the next word, and says how to write such a value.
func (l *parsedLine) lacks(f *Flag, typed, next string) {
	err := fmt.Errorf("%s needs a value, but %q follows", typed, next)
	takes := "a " + f.Value
	if words := choices[f.Name]; words != nil {
		takes = text.Or(words)
	}
	switch missing := fmt.Sprintf("%s takes %s; perhaps a variable there is not set", typed, takes); {
	case f.Kind == Number:
	case next == "--":
		err = Hinted(err, missing)
	default:
		word := text.Quoted([]string{next})[0]
		err = Hinted(err, fmt.Sprintf("%s; if %s is the value: --%s=%s", missing, word, f.Name, word))
	}
	l.fail(err)
}

func (l *parsedLine) unknown(word string) {
	name, _, _ := strings.Cut(word, "=")
	err := fmt.Errorf("unknown flag %s", name)
	if f := meant(name, l.known); strings.TrimLeft(name, "-") == "version" {
		err = Hinted(err, "berth version")
	} else if f != nil {
		way := strings.Join(f.Names(), ", ")
		if doesNotWait[strings.TrimLeft(name, "-")] {
			way = "--wait 0"
		}
		err = Hinted(err, fmt.Sprintf("did you mean %s?", way))
	} else if l.err == nil {
		l.strange = name
	}
	l.fail(err)
}

func (l *parsedLine) fail(err error) {
	if l.err == nil {
		l.err = err
	}
}

func (l *parsedLine) find(name string) *Flag {
	for i := range l.known {
		if f := &l.known[i]; name == f.Name || name == f.Short && name != "" {
			return f
		}
	}
	return nil
}
