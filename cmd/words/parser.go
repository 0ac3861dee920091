package words

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"berth/cmd/text"
	"berth/cmd/tty"
)

// parser turns the words of one command into a request. It keeps the first error.
type parser struct {
	cli   *cli.Context
	takes map[string][]string // what a flag takes instead of its choices
	err   error
}

func (p *parser) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

func (p *parser) check(name string, err error) {
	if err != nil {
		p.fail(fmt.Errorf("--%s: %w", name, err))
	}
}

func (p *parser) operands() []string { return p.cli.Args().Slice() }

func (p *parser) isSet(name string) bool { return p.cli.IsSet(name) }

// text is the value of a flag, or its default.
func (p *parser) text(name string) string { return p.cli.String(name) }

func (p *parser) list(name string) []string { return p.cli.StringSlice(name) }

// on reports whether a switch is on.
func (p *parser) on(name string) bool { return p.cli.Bool(name) }

// parsed has f parse a flag into v, if it is there.
func parsed[T any](p *parser, name string, v *T, f func(string) (T, error)) {
	if !p.isSet(name) {
		return
	}
	x, err := f(p.text(name))
	if err == nil {
		*v = x
	}
	p.check(name, err)
}

// switched reports whether a switch is on that BERTH_NAME can set as well.
func (p *parser) switched(name string) bool {
	env := "BERTH_" + strings.ToUpper(name)
	v := strings.ToLower(os.Getenv(env))
	switch {
	case p.isSet(name):
		return p.on(name)
	case v == "1" || v == "true" || v == "yes":
		return true
	case v != "" && v != "0" && v != "false" && v != "no" && p.err == nil:
		p.err = fmt.Errorf("%s: %q is neither 1 nor 0", env, os.Getenv(env))
	}
	return false
}

// choices are the words that a flag takes, where it takes no others.
var choices = map[string][]string{
	"on-busy":     {"fail", "skip", "run", "replace"},
	"hold":        {"command", "tree"},
	"leftovers":   {"keep", "kill"},
	"if-orphaned": {"keep", "kill"},
	"nested":      {"reuse", "take", "fail"},
	"on-lost":     {"kill", "warn"},
}

// choice is the value of a flag that takes one of its choices.
func (p *parser) choice(name string) string {
	v, words := p.text(name), choices[name]
	if takes := p.takes[name]; takes != nil {
		words = takes
	}
	if !slices.Contains(words, v) {
		p.check(name, fmt.Errorf("must be %s, not %q", text.Or(words), v))
		return ""
	}
	return v
}

func (p *parser) duration(name string) time.Duration {
	d, err := ParseDuration(p.text(name))
	p.check(name, err)
	return d
}

// limit is a duration, 0 if the flag was not typed.
func (p *parser) limit(name string) time.Duration {
	if !p.isSet(name) {
		return 0
	}
	return p.duration(name)
}

func (p *parser) positive(name string) time.Duration {
	d := p.duration(name)
	if d == 0 {
		p.check(name, fmt.Errorf("%q is not longer than 0", p.text(name)))
	}
	return d
}

func (p *parser) count(name string, low, high int) int {
	n, err := ParseCount(p.text(name), "valid", low, high, "")
	p.check(name, err)
	return n
}

func (p *parser) signal(name string) syscall.Signal {
	sig, err := tty.ParseSignal(p.text(name))
	p.check(name, err)
	return sig
}

// maxKey bounds a ticket's key, in bytes.
const maxKey = 256

// key is "" if the flag was not typed.
func (p *parser) key(name string) string {
	k := p.text(name)
	switch {
	case len(k) > maxKey || !utf8.ValidString(k):
		p.check(name, fmt.Errorf("a KEY of %d bytes is not UTF-8 or longer than %d bytes", len(k), maxKey))
	case k == "" && p.isSet(name):
		p.check(name, fmt.Errorf("the KEY is empty"))
	}
	return k
}

// maxJob bounds the name of a job, in bytes.
const maxJob = 100

// job is the name of a job, "" if the flag was not typed. It may be any text of one line: what
// CI runs is often named after a branch.
func (p *parser) job(name string) string {
	j := p.text(name)
	switch {
	case j == "" && p.isSet(name):
		p.check(name, fmt.Errorf("the name is empty"))
	case len(j) > maxJob:
		p.check(name, fmt.Errorf("a name of %d bytes is too long (at most %d)", len(j), maxJob))
	case !utf8.ValidString(j) || text.OneLine(j) != j:
		p.check(name, fmt.Errorf("%q has a line end, a tab or an invisible character, or is not UTF-8", j))
	}
	return j
}

// maxLabels bounds all labels of a job, in bytes: each read of a pool reads them.
const maxLabels = 4096

func (p *parser) labels(name string) map[string]string {
	labels, size := map[string]string{}, 0
	for _, l := range p.list(name) {
		k, v, err := ParseLabel(l)
		if before, twice := labels[k]; twice && err == nil {
			err = fmt.Errorf("%s is given twice, as %q and as %q: leave one out", k, before, v)
		}
		p.check(name, err)
		labels[k] = v
		size += len(l)
	}
	if size > maxLabels {
		p.check(name, fmt.Errorf("%d bytes of labels are too many (at most %d)", size, maxLabels))
	}
	return labels
}
