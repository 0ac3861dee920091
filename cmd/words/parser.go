package words

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"berth/cmd/tty"
)

// FlagParser keeps the first error.
type FlagParser struct {
	C   *cli.Context
	Err error
}

func (p *FlagParser) Check(name string, err error) {
	if err != nil && p.Err == nil {
		p.Err = fmt.Errorf("--%s: %w", name, err)
	}
}

// parsed has f parse a flag into v, if it is there.
func parsed[T any](p *FlagParser, name string, v *T, f func(string) (T, error)) {
	if !p.C.IsSet(name) {
		return
	}
	x, err := f(p.C.String(name))
	if err == nil {
		*v = x
	}
	p.Check(name, err)
}

// Switched is a switch that BERTH_NAME can set, too.
func (p *FlagParser) Switched(name string) bool {
	env := "BERTH_" + strings.ToUpper(name)
	v := strings.ToLower(os.Getenv(env))
	switch {
	case p.C.IsSet(name):
		return p.C.Bool(name)
	case v == "1" || v == "true" || v == "yes":
		return true
	case v != "" && v != "0" && v != "false" && v != "no" && p.Err == nil:
		p.Err = fmt.Errorf("%s: %q is neither 1 nor 0", env, os.Getenv(env))
	}
	return false
}

func (p *FlagParser) oneOf(name string, words ...string) string {
	v := p.C.String(name)
	for _, w := range words {
		if v == w {
			return v
		}
	}
	p.Check(name, fmt.Errorf("%q is none of %s", v, strings.Join(words, ", ")))
	return ""
}

func (p *FlagParser) duration(name string) time.Duration {
	d, err := ParseDuration(p.C.String(name))
	p.Check(name, err)
	return d
}

// limit is 0 for a flag that was not given, and for none.
func (p *FlagParser) limit(name string) time.Duration {
	if !p.C.IsSet(name) {
		return 0
	}
	return p.duration(name)
}

func (p *FlagParser) positive(name string) time.Duration {
	d := p.duration(name)
	if d == 0 {
		p.Check(name, fmt.Errorf("%q is no time at all", p.C.String(name)))
	}
	return d
}

func (p *FlagParser) count(name string, low, high int) int {
	n, err := ParseCount(p.C.String(name), "valid", low, high, "")
	p.Check(name, err)
	return n
}

func (p *FlagParser) signal(name string) syscall.Signal {
	sig, err := tty.ParseSignal(p.C.String(name))
	p.Check(name, err)
	return sig
}

// maxKey bounds a ticket's key.
const maxKey = 256

// key is "" for a flag that was not given.
func (p *FlagParser) key(name string) string {
	k := p.C.String(name)
	switch {
	case len(k) > maxKey || !utf8.ValidString(k):
		p.Check(name, fmt.Errorf("a KEY of %d bytes that is not UTF-8 or longer than %d bytes", len(k), maxKey))
	case k == "" && p.C.IsSet(name):
		p.Check(name, fmt.Errorf("\"\" is not a KEY: it must not be empty"))
	}
	return k
}

// maxLabels bounds what labels add to a record that is read at every look.
const maxLabels = 4096

func (p *FlagParser) Labels(name string) map[string]string {
	labels, size := map[string]string{}, 0
	for _, l := range p.C.StringSlice(name) {
		k, v, err := ParseLabel(l)
		if before, twice := labels[k]; twice && err == nil {
			err = fmt.Errorf("%s is given twice, as %q and as %q: leave one out", k, before, v)
		}
		p.Check(name, err)
		labels[k] = v
		size += len(l)
	}
	if size > maxLabels {
		p.Check(name, fmt.Errorf("%d bytes of labels are too many (at most %d)", size, maxLabels))
	}
	return labels
}
