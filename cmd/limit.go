package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"berth/cmd/open"
	"berth/cmd/text"
	"berth/cmd/tty"
	"berth/cmd/view"
	"berth/cmd/words"
	"berth/lease"
	"berth/limiter/gate"
)

func limitCommand() *cli.Command {
	return &cli.Command{
		Name:      "limit",
		Usage:     "Show, set or remove a pool's own limit and gates, which hold for every caller.",
		UsageText: "berth limit [flags] POOL [N|P%|auto|none]",
		Description: `0 drains the pool: nobody new starts, nobody is ended. A caller's -n still
counts when it is smaller, and a caller's gates are asked as well. What is not
named stays as it is, but another limit ends the reason of the last one; none
removes the limit alone. To remove one gate, use --clear and set the others
again. Waiters see it at once. A percentage like 50% is of the CPUs of this
machine now, and set as a number, also for other machines.`,
		Flags: append([]cli.Flag{
			words.PoolFlag("the pool, instead of POOL"),
			words.NewBool(cli.BoolFlag{Name: "clear", Usage: "first remove all that was set before"}),
			words.NewString(cli.StringFlag{Name: "reason", Usage: "`TEXT` tell it, with your name and the time, to everybody who waits or is refused"}),
			words.StoreFlag(""), words.OwnerFlag(""),
		}, words.GateFlags()...),
		Action: func(c *cli.Context) error {
			e, err := parseLimit(c)
			if err != nil {
				return words.Mistake(err, "berth limit")
			}
			say := newSpeaker(false, false)
			st, err := open.Open(words.StoreOf(c), say.opening(e.sets()))
			if err != nil {
				return err
			}
			if st.Remote && e.given.Machine.Command != "" {
				// Whoever can reach the server could have set it, and it would run as
				// whoever asks: it is never run.
				return words.Mistake(errors.New("--gate: a command is not taken from a store on a server; each caller passes its own to berth run"), "berth limit")
			}
			st.HandleSuspend()
			if err := newAsker(st, lease.Request{Pool: e.pool, Conditions: e.given.Pack()}, nil).check(); err != nil {
				return err // every caller would get it
			}
			switch {
			case !e.changes():
				if err := showLimit(st, e.pool); err != nil {
					return err
				}
				return noteNone(st, say, e.pool)
			case !e.sets() && nothingSet(st, e.pool):
				// No pool is made for it.
				if err := e.baseless(); err != nil {
					return err
				}
				return noteNone(st, say, e.pool)
			}
			return st.Set(context.Background(), e.pool, e.change)
		},
	}
}

// limitEdit is what the words of 'berth limit' want to have changed.
type limitEdit struct {
	c     *cli.Context
	pool  string
	word  string      // N, auto, none or ""
	why   string      // --reason; "" none
	limit int         // when word is a number
	some  bool        // there are flags of gates
	given words.Terms // what they say by themselves
}

// changes reports whether anything is to be changed at all.
func (e *limitEdit) changes() bool {
	return e.word != "" || e.some || e.why != "" || e.c.Bool("clear")
}

// sets reports whether anything is to be set, not only removed.
func (e *limitEdit) sets() bool { return e.some || e.word != "" && e.word != "none" }

func parseLimit(c *cli.Context) (*limitEdit, error) {
	e := &limitEdit{c: c}
	line, err := e.operands()
	if err == nil {
		err = lease.CheckPool(e.pool)
	}
	if err != nil {
		return nil, err
	}
	if len(line) == 1 {
		e.word = line[0]
		if !isLimitWord(e.word) {
			if e.limit, err = parseOwn(e.word); err != nil {
				return nil, err
			}
		}
	}
	if c.IsSet("reason") {
		why, err := words.ParseReason(c.String("reason"))
		if err != nil {
			return nil, fmt.Errorf("--reason: %w", err)
		}
		e.why = why
	}
	for _, f := range words.GateFlags() {
		e.some = e.some || c.IsSet(f.Names()[0])
	}
	// What is wrong by itself touches nothing. Whether it goes with what is set
	// already is seen under the pool's lock.
	e.given, err = e.words(words.Terms{}, &lease.Settings{})
	return e, err
}

// operands finds the pool, and returns the word after it, if there is one.
func (e *limitEdit) operands() ([]string, error) {
	line := e.c.Args().Slice()
	switch {
	case e.c.IsSet("pool"):
		e.pool = e.c.String("pool")
		if len(line) > 1 {
			return nil, fmt.Errorf("takes N, auto or none with -p %s; got %s", e.pool, text.Plural(len(line), "argument"))
		}
		return line, nil
	case len(line) < 1 || len(line) > 2:
		return nil, fmt.Errorf("takes POOL, or POOL and N, auto or none; got %s", text.Plural(len(line), "argument"))
	case len(line) == 1 && isLimit(line[0]):
		next := "berth limit POOL " + line[0]
		if lease.CheckPool(line[0]) == nil {
			next += fmt.Sprintf(", or berth limit -p %s for the pool of that name", line[0])
		}
		return nil, words.Hinted(fmt.Errorf("%q is a limit, and no pool is named", line[0]), next)
	}
	e.pool = line[0]
	return line[1:], nil
}

func isLimitWord(w string) bool { return w == "none" || w == "auto" }

func isLimit(w string) bool {
	_, err := parseOwn(w)
	return err == nil || isLimitWord(w)
}

// parseOwn reads a number or a percentage.
func parseOwn(w string) (int, error) {
	if strings.HasSuffix(w, "%") {
		return words.ParseSlots(w, gate.CPUs)
	}
	return words.ParseCount(w, "a limit", 0, words.MaxSlots, ", or a percentage of the CPUs like 50%, or auto, or none")
}

// change is for Store.Set.
func (e *limitEdit) change(old lease.Settings, err error) (lease.Settings, error) {
	whole := e.c.Bool("clear")
	switch {
	case whole:
		old = lease.Settings{}
	case err != nil: // what cannot be read cannot be kept
		return old, err
	}
	t, err := words.TermsOf(old.Conditions)
	if err != nil {
		return old, err
	}
	if !e.c.IsSet("gate") { // what we write becomes ours
		if err := trusted(e.pool, t.Machine, old); err != nil {
			return old, err
		}
	}
	was := old.Limit
	if t, err = e.words(t, &old); err != nil {
		return old, err
	}
	p := words.FlagParser{}
	most := 0
	if old.Limit != nil {
		most = *old.Limit
	}
	p.Agree(t, most)
	if p.Err != nil {
		return old, words.Mistake(p.Err, "berth limit")
	}
	if old.Conditions = t.Pack(); old.None() {
		return lease.Settings{}, e.baseless()
	}
	return noted(old, was, e.why), nil
}

// baseless refuses a reason for nothing.
func (e *limitEdit) baseless() error {
	if e.why == "" {
		return nil
	}
	return words.Mistake(fmt.Errorf("--reason needs a limit or a gate; pool %s would have neither", e.pool), "berth limit")
}

// words reads the flags on top of t, and what is said of the limit.
func (e *limitEdit) words(t words.Terms, own *lease.Settings) (words.Terms, error) {
	p := words.FlagParser{C: e.c}
	t = p.Terms(t)
	switch e.word {
	case "":
		p.OnlyAuto("gates alone")
	case "none":
		own.Limit = nil
		p.OnlyAuto("none")
	case "auto":
		var n int
		t, n = p.Auto(t)
		own.Limit = &n
	default:
		own.Limit = &e.limit
		p.OnlyAuto(e.word)
	}
	return t, p.Err
}

// nothingSet reports whether a pool has no settings; one that cannot be read has.
func nothingSet(st *open.Store, pool string) bool {
	p, err := st.Summary(context.Background(), pool, lease.Ticket{})
	return err == nil && p.Own.None()
}

// noteNone says when there is no such pool: it may be a slip, and it may be early.
func noteNone(st *open.Store, say *speaker, pool string) error {
	p, err := st.Summary(context.Background(), pool, lease.Ticket{})
	if err != nil {
		return err
	}
	var hinted *words.HintedError
	_, err = known(st, context.Background(), []lease.Pool{p})
	switch {
	case errors.As(err, &hinted):
		say.notef("%v: %s", err, hinted.Next)
	case errors.Is(err, lease.ErrNotFound):
		say.notef("%v", err)
	default:
		return err
	}
	return nil
}

func showLimit(st *open.Store, pool string) error {
	p, err := st.Summary(context.Background(), pool, lease.Ticket{})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(os.Stdout, strings.Join(view.LimitLines(p.Own, words.FlagsOf(p.Own.Conditions), tty.IsTerminal(1)), "\n"))
	return err
}
