package words

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"berth/cmd/storename"
	"berth/cmd/text"
	"berth/lease"
	"berth/limiter/gate"
)

// Limit is what 'berth limit' is to show or change of a pool's own settings.
type Limit struct {
	Store storename.Spec
	Pool  string
	Clear bool

	parser *parser
	word   string     // N, auto, none or ""
	number int        // when word is one
	names  []string   // of the slots; nil: nothing is said of them
	reason string     // "" none
	gates  bool       // there are flags of gates
	given  conditions // what they say by themselves
}

func limitCommand() Command {
	return Command{
		Name:     "limit",
		Usage:    "Show, set or remove a pool's own limit and gates, which apply to every caller.",
		Synopsis: "berth limit [flags] POOL [N|P%|auto|none]",
		Description: `0 drains the pool: running jobs finish, no new one starts. A caller's -n applies
if it is smaller, and a caller's gates come on top. Settings that are not
named stay, but a new limit drops the reason of the last one. none removes the
limit and the names of the slots. To remove one gate, use --clear and set the
others again. Waiters see a change at once. A percentage like 50% is of the CPUs
of this machine now; it is stored as a number, for other machines as well.`,
		Flags: append([]Flag{
			poolFlag("the pool, in place of POOL"),
			{Name: "names", Value: "NAME,...", Usage: "name the slots from 0 on, like cuda0,cuda1; without N this is the limit as well. A name in use stays with its slot. A lower limit keeps the names; berth limit POOL none removes them"},
			{Name: "clear", Kind: Switch, Usage: "first remove all settings"},
			{Name: "reason", Value: "TEXT", Usage: "show this, with your name and the time, to everyone who waits or is refused"},
			storeFlag(""), ownerFlag(""), userStoreFlag(""),
		}, gateFlags()...),
		parse: func(p *parser) any { return p.limits() },
	}
}

func (p *parser) limits() *Limit {
	l := &Limit{Store: p.store(), Clear: p.on("clear"), parser: p}
	words := l.operands()
	p.fail(lease.CheckPool(l.Pool))
	if len(words) == 1 {
		l.word = words[0]
		if !isLimitWord(l.word) {
			n, err := parseOwn(l.word)
			p.fail(err)
			l.number = n
		}
	}
	if p.isSet("reason") {
		reason, err := parseReason(p.text("reason"))
		p.check("reason", err)
		l.reason = reason
	}
	p.slotNames(l)
	for _, f := range gateFlags() {
		l.gates = l.gates || p.isSet(f.Name)
	}
	if p.err == nil {
		// A mistake in the words changes nothing. Conflicts with the settings that are there
		// are found under the pool's lock.
		l.given, p.err = l.on(conditions{}, &lease.Settings{})
		p.fail(Printable(Flags(l.Conditions())))
	}
	return l
}

// Printable returns an error if flags cannot be printed so that a shell and xargs read them
// back. Neither has a notation for a line end that the other one reads, too.
func Printable(flags []string) error {
	for f := range slices.Chunk(flags, 2) {
		if value := f[len(f)-1]; text.OneLine(value) != value {
			err := fmt.Errorf("%s of a pool: no line ends, tabs or invisible characters, because 'berth limit' could not print them as you would type them", f[0])
			if f[0] == "--gate" {
				err = Hinted(err, "put the command into a script that every caller can read: --gate 'sh /PATH/SCRIPT'")
			}
			return err
		}
	}
	return nil
}

// operands finds the pool, and returns the word after it, if there is one.
func (l *Limit) operands() []string {
	p := l.parser
	words := p.operands()
	if p.isSet("pool") {
		l.Pool = p.text("pool")
		words = append([]string{l.Pool}, words...)
		if len(words) > 2 {
			p.fail(fmt.Errorf("takes N, auto or none with -p %s; got %s", l.Pool, text.Plural(len(words)-1, "argument")))
		}
	}
	switch {
	case len(words) == 0:
		p.fail(Hinted(errors.New("no pool named"), "berth limit POOL"))
		return nil
	case len(words) > 2:
		p.fail(fmt.Errorf("takes POOL, or POOL and N, auto or none; got %s", text.Plural(len(words), "argument")))
		return nil
	case len(words) == 1 && !p.isSet("pool") && isLimit(words[0]):
		next := "berth limit POOL " + words[0]
		if lease.CheckPool(words[0]) == nil {
			next += fmt.Sprintf(", or berth limit -p %s for the pool of that name", words[0])
		}
		p.fail(Hinted(fmt.Errorf("%q is a limit, and no pool is named", words[0]), next))
	}
	l.Pool = words[0]
	return words[1:]
}

func isLimitWord(w string) bool { return w == "none" || w == "auto" }

func isLimit(w string) bool {
	_, err := parseOwn(w)
	return err == nil || isLimitWord(w)
}

// parseOwn reads a number or a percentage.
func parseOwn(w string) (int, error) {
	if strings.HasSuffix(w, "%") {
		return ParseSlots(w, gate.CPUs)
	}
	return ParseCount(w, "a limit", 0, MaxSlots, ", or a percentage of the CPUs like 50%, or auto, or none")
}

// Changes reports whether anything is to be changed at all.
func (l *Limit) Changes() bool {
	return l.word != "" || l.names != nil || l.gates || l.reason != "" || l.Clear
}

// Names reports whether the slots are to be named.
func (l *Limit) Names() bool { return l.names != nil }

// Sets reports whether anything is to be set, not only removed.
func (l *Limit) Sets() bool { return l.gates || l.names != nil || l.word != "" && l.word != "none" }

// Conditions are those that were typed.
func (l *Limit) Conditions() lease.Conditions { return l.given.pack() }

// OnServer refuses what a store on a server does not keep. Anyone who can reach the server
// could have set a command, and it would run as the user who reads it: it is never run.
func (l *Limit) OnServer() error {
	if l.given.machine.Command == "" {
		return nil
	}
	return Mistake(errors.New("--gate: a command is not taken from a store on a server; each caller passes its own to berth run"), "berth limit")
}

// Change applies l to the settings of a pool, or to the error of reading them, as
// lease.Store.Set wants it. trusted refuses gates whose command another user has set.
func (l *Limit) Change(old lease.Settings, err error, trusted func(lease.Settings) error) (lease.Settings, error) {
	switch {
	case l.Clear:
		old = lease.Settings{}
	case err != nil: // what cannot be read cannot be kept
		return old, err
	}
	t, err := conditionsOf(old.Conditions)
	if err != nil {
		return old, err
	}
	if !l.parser.isSet("gate") { // what we write becomes ours
		if err := trusted(old); err != nil {
			return old, err
		}
	}
	if t, err = l.on(t, &old); err != nil {
		return old, err
	}
	most := 0
	if old.Limit != nil {
		most = *old.Limit
	}
	p := parser{}
	if p.checkConditions(t, most); p.err != nil {
		return old, Mistake(p.err, "berth limit")
	}
	if old.Conditions = t.pack(); old.None() {
		return lease.Settings{}, l.CheckReason()
	}
	return old, nil
}

// Reason is what --reason says, "" for nothing.
func (l *Limit) Reason() string { return l.reason }

// CheckReason refuses a reason for nothing.
func (l *Limit) CheckReason() error {
	if l.reason == "" {
		return nil
	}
	return Mistake(fmt.Errorf("--reason needs a limit or a gate; pool %s would have neither", l.Pool), "berth limit")
}

// on adds the flags to t, and what is said of the limit to own.
func (l *Limit) on(t conditions, own *lease.Settings) (conditions, error) {
	p := parser{cli: l.parser.cli}
	t = p.conditions(t)
	switch l.word {
	case "":
		what := "gates alone"
		if l.names != nil {
			what = "--names"
		}
		p.onlyAuto(what)
	case "none":
		own.Limit = nil
		p.onlyAuto("none")
	case "auto":
		var n int
		t, n = p.auto(t)
		own.Limit = &n
	default:
		own.Limit = &l.number
		p.onlyAuto(l.word)
	}
	p.fail(l.name(own))
	return t, p.err
}
