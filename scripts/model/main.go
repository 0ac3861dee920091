// Command model searches the protocol of the directory store for states in which
// it breaks a promise: an explicit-state search over the steps of lease/filestore
// at the granularity of system calls (the pool's lock, the index, tickets, slots,
// records, watches and their events), with kills, stops, limits that change and
// waiters that leave or step aside at any step. It follows the code: a change
// of the protocol is made here, too, and this is run before and after.
//
//	go run ./scripts/model -P 3 -N 1 -kinds nen -kills 1
//	go run ./scripts/model -P 3 -N 1 -kinds nnn -stops 1
//	go run ./scripts/model -P 3 -N 1 -kinds nnn -stops 1 -mut wakelate
//
// It prints how many states there are and the shortest way to the first of each
// class of: MORE-THAN-N, OVERTAKES, SWEPT-LIVE, TICKET-LOST, TOKEN, LOST (there is
// room for a waiter that lives and whose turn it is, and nothing but a check by the
// clock will tell it), INDEX (free in the index while a job runs) and END (never
// ends), FREED (a kept lease's slot is free while something runs under it), KEPT (a kept lease
// under which nothing runs cannot be given back). The exit code is 1 when there is any but "LOST behind a frozen waiter": by
// design that takes until the next one's slow check.
//
// -mut breaks the protocol on purpose, to show that the search would find it:
// removelate, sweeplate, norecheck, nochild, nosave, noagain, watchnolook,
// countlate, wakelate, setwakelate, ticketlate, nofollow, nodraining, notshared,
// norecord, noadopter, notalone, nosettle, nomark, adopterwakeslate.
//
// Left out: gates, paces, kept tickets, damaged files, heads that cannot watch or
// follow, network file systems. Each -max of a million states takes about 100 MB.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
	"time"
)

// options are how far a search goes.
type options struct {
	name   string
	max    int // states
	prefix int // so many stand in the line at the start
	traces int // of each class
	limit  time.Duration
}

func main() {
	o, err := parse(os.Args[1:])
	if err != nil {
		os.Exit(2)
	}
	r := explore(o, os.Stdout)
	fmt.Println(r)
	if len(r.broken()) > 0 {
		os.Exit(1)
	}
}

// parse sets the model up.
func parse(args []string) (o options, err error) {
	c = Cfg{strictTime: true}
	fs := flag.NewFlagSet("model", flag.ContinueOnError)
	fs.IntVar(&c.P, "P", 3, "so many processes, at most 5")
	fs.IntVar(&c.N, "N", 1, "so many slots, at most 2")
	fs.IntVar(&c.kills, "kills", 0, "so many are killed")
	fs.IntVar(&c.stops, "stops", 0, "so many stops")
	fs.IntVar(&c.leaves, "leaves", 0, "so many leave the line")
	fs.IntVar(&c.slows, "slows", 0, "so many checks by the clock")
	fs.IntVar(&c.asides, "asides", 0, "so many Ctrl-Z")
	fs.IntVar(&c.again, "again", 1, "so often the head checks again after an event")
	fs.BoolVar(&c.strictTime, "strict", true, "the last of these comes when the kernel has closed what it was closing")
	fs.BoolVar(&c.lifo, "lifo", false, "a killed process's highest descriptor is closed first")
	fs.IntVar(&c.held, "held", 0, "so many processes have become their commands (--exec) at the start, with a slot each")
	fs.IntVar(&c.own0, "own", 255, "the pool's own limit, 255: none")
	fs.IntVar(&c.setTo, "setto", 2, "what 'berth limit' sets it to")
	fs.StringVar(&c.mut, "mut", "", "break this, or several with a + between them")
	kinds := fs.String("kinds", "", "a letter per process: n normal, e exec, c closes what it inherits, d leaves a daemon, w weight 2, l limit command, 1 asks for 1, h high priority, u no -n, k keeps a lease (K of weight 2), a runs something under it (A of weight 2, b closes what it inherits, f leaves a daemon)")
	million := fs.Int("max", 25, "stop at so many million states")
	fs.IntVar(&o.prefix, "prefix", 0, "so many stand in the line at the start")
	fs.IntVar(&o.traces, "traces", 1, "show so many ways to each class")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	o.max, o.limit = *million*1_000_000, 400*time.Second
	o.name = fmt.Sprint(args)
	c.fallback, again = c.N, uint8(c.again)
	for i := range c.weight {
		c.weight[i], c.ask[i] = 1, c.N
	}
	for i, k := range *kinds {
		switch k {
		case 'e':
			c.exec[i] = true
		case 'c':
			c.closer[i] = true
		case 'd':
			c.daemon[i] = true
		case 'w':
			c.weight[i] = 2
		case 'l':
			c.isSet[i] = true
		case 'k', 'K':
			c.keeper[i] = true
			if k == 'K' {
				c.weight[i] = 2
			}
		case 'a', 'A', 'b', 'f':
			c.adopter[i] = true
			c.closer[i], c.daemon[i] = k == 'b', k == 'f'
			if k == 'A' {
				c.weight[i] = 2
			}
		case '1':
			c.ask[i] = 1
		case 'h':
			c.prio[i] = -1
		case 'u':
			c.ask[i] = 0
		}
	}
	return o, nil
}

// result is what a search has found.
type result struct {
	options
	found               map[string]int // classes, and how many states of each
	states, quiet, ends int
	took                time.Duration
	capped              bool
}

func (r result) String() string {
	s := fmt.Sprintf("=== %s: %d states, %d quiet, %d ends, %.1fs", r.name, r.states, r.quiet, r.ends, r.took.Seconds())
	if r.capped {
		s += " CAPPED"
	}
	for _, k := range r.classes() {
		s += fmt.Sprintf("\n##   %8d  %s", r.found[k], k)
	}
	return s
}

func (r result) classes() (all []string) {
	for k := range r.found {
		all = append(all, k)
	}
	sort.Strings(all)
	return all
}

// byDesign is what only a check by the clock ends: a stop makes no event.
const byDesign = "LOST behind a frozen waiter [waits behind: 45 s]"

// broken are the classes that the design does not allow for.
func (r result) broken() []string {
	return slices.DeleteFunc(r.classes(), func(k string) bool { return k == byDesign })
}

// explore visits all states that can be reached, nearest first.
func explore(o options, out io.Writer) result {
	r := result{options: o, found: map[string]int{}}
	began := time.Now()
	st := newStore()
	st.add(first(o, out), 0)
	report := func(s *S, at uint32, kind, lab string) {
		r.found[kind]++
		if r.found[kind] > o.traces {
			return
		}
		fmt.Fprintf(out, "--- %s\n", kind)
		for i, l := range trace(st, at, lab) {
			fmt.Fprintf(out, "   %2d %s\n", i+1, l)
		}
		fmt.Fprintf(out, "   state: %s\n", show(s))
	}
	for i := uint32(0); int(i) < st.n && !r.capped; i++ {
		s := st.get(i)
		fast, ways := 0, 0
		type breach struct {
			s    S
			kind string
		}
		var now []breach
		viol = func(x *S, kind string) { now = append(now, breach{*x, kind}) }
		flush := func(lab string) {
			for _, v := range now {
				report(&v.s, i, v.kind, lab)
			}
			now = now[:0]
		}
		succ(&s, func(t Trans) {
			if t.fast {
				fast++
			}
			if !t.slow {
				ways++
			}
			flush(t.lab)
			if st.n < o.max {
				st.add(&t.s, i)
			} else {
				r.capped = true
			}
		})
		flush("")
		for _, kind := range r.judge(&s, fast, ways) {
			report(&s, i, kind, "")
		}
		r.capped = r.capped || time.Since(began) > o.limit
	}
	r.states, r.took = st.n, time.Since(began)
	return r
}

// judge names what is wrong with a state from which so many fast steps and ways lead.
func (r *result) judge(s *S, fast, ways int) (kinds []string) {
	who := -1
	if fast == 0 {
		r.quiet++
		var class string
		if who, class = lost(s); who >= 0 {
			if !recovers(s, who) {
				class += " PERMANENT"
			}
			kinds = append(kinds, class)
		}
	}
	if ways == 0 {
		r.ends++
		for k := range c.N {
			if s.locked(k) || s.orphan(k) {
				kinds = append(kinds, "END: a slot stays taken")
			}
		}
		for k := 0; k < c.P && who < 0; k++ { // else that is LOST
			if s.ownLocked(k) {
				kinds = append(kinds, "END: a ticket blocks ("+pcName[s.p[k].pc]+")")
			} else if s.p[k].pc != GONE && !(c.adopter[k] && s.p[k].pc == START) {
				kinds = append(kinds, "END: P stuck at "+pcName[s.p[k].pc])
			}
		}
	}
	kinds = append(kinds, s.judgeKept(fast)...)
	for k := 0; k < c.N && s.g.lock == 0; k++ { // the index may err on one side only
		if o := s.g.owner[k]; o > 0 && o < 16 && s.g.sLim[k] == 0 && s.p[o-1].child == 1 {
			kinds = append(kinds, "INDEX: says free, and a job runs there")
		}
	}
	return kinds
}
