//go:build linux

package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"time"
)

// The checker of the storm: pure functions from what was recorded to what is
// wrong with it. All times are CLOCK_MONOTONIC in ns, read by the process that acted.
//
// It must never raise a false alarm. So where an instant is not known exactly, it uses
// the bound that cannot produce one:
//
//   - A job holds its slots at least from its start record (berth took them
//     before it started the job) until its end record. One that was killed
//     wrote no end: it lived until the killer's last look at it, which was
//     before the signal was sent. When it was seen dead does not matter here.
//   - A slot is leaked only if it is still taken after the last instant at
//     which anything of its run may have lived: the end of its berth was
//     waited for, or no process of the run was found any more.
//   - Start records come late by as long as a process takes to start. Grants
//     are therefore compared by their tokens, whose order is checked by itself.
type Log struct {
	runs   []*Run
	views  []View
	limits []Limit // by pool, in the order in which they were set
	stops  []Stop
	server *Server // nil: the store is a directory
	byID   map[string]*Run
	ids    map[string]string // the run of each known lease
}

// Run is one 'berth run': what it was asked for and what became of it.
type Run struct {
	id, parent, pool        string
	limit, weight, priority int
	more                    []Share       // of other pools
	kept                    bool          // a shell that holds its slots over several commands
	limited                 time.Duration // their time limit
	keeper                  []Signal      // to their keeper
	key, onBusy, job        string
	supersede               bool
	waits, timeout, tree    bool          // --wait, --timeout, --hold tree
	ttl                     time.Duration // 0: that of all
	exec, deaf              bool
	code                    int  // what its job exits with
	takes                   bool // its job wants another slot of the same pool,
	takesLimit              int  // with this -n

	launch, ended int64 // ended 0: its end is not known (it ran inside a job)
	gone          int64 // 0: something of it may be alive
	exit          int
	killed        bool // its berth did not end by itself
	hung          bool // and had to be killed at the end, which is reported by itself
	signals       []Signal
	records       []Record
	said          string
}

// Signal is noted before the signal is sent.
type Signal struct {
	at    int64
	sig   syscall.Signal
	berth bool // sent to the berth, else to its job
	sent  bool // the target was alive at that time
}

// View is what 'berth ls --json' said between two instants.
type View struct {
	pool     string
	from, to int64
	holders  []Holder
	waiters  []Waiter // in their order
}

type Holder struct {
	lease       string
	run, state  string
	slots, asks int
}

type Waiter struct {
	lease           string
	run             string
	place, priority int
}

// Limit is a 'berth limit' that took effect between two instants.
type Limit struct {
	pool     string
	limit    *int
	from, to int64
}

// Stop is a 'berth stop', of one run or of all in the pool.
type Stop struct {
	pool, run string
	from, to  int64
}

// Grant is a job with slots of its own.
type Grant struct {
	run         *Run
	weight      int
	token       uint64
	slots       []int
	from, until int64 // it certainly held them all this time
	after       int64 // it was certainly not granted before
}

type Verdict struct {
	bad        []string
	pairs, own int            // pairs of runs whose order was checked; starts checked against the pool's own limit
	most       map[string]int // slots in use at once, by pool
	late       time.Duration  // a job wrote so long after the end of its berth, which was killed
	made       map[string]int // how many said that they were superseded or replaced
	adoptions  int            // jobs under kept leases
	unheeded   int            // TERMs to a berth before its job started, which then ran to its end
}

func (v *Verdict) badf(check, format string, args ...any) {
	v.bad = append(v.bad, check+": "+fmt.Sprintf(format, args...))
}

func checkStorm(l *Log) *Verdict {
	v := &Verdict{most: map[string]int{}, made: map[string]int{}}
	l.byID = map[string]*Run{}
	for _, r := range l.runs {
		l.byID[r.id] = r
	}
	l.identify()
	for _, r := range l.runs {
		v.ending(l, r)
		v.madeWay(l, r)
	}
	seen := l.seen()
	grants, shares := l.grants(seen), l.shares(seen)
	for _, pool := range slices.Sorted(maps.Keys(grants)) {
		g := grants[pool]
		v.tokens(pool, g)
		v.slots(l, pool, g)
		v.limit(l, pool, slices.Concat(g, shares[pool]))
		v.ownLimit(l, pool, g)
		v.holdOff(l, pool, g)
		v.shown(l, pool, slices.Concat(g, shares[pool]))
		v.order(l, pool, g)
	}
	v.views(l)
	return v
}

// sight is of a run in the line of a pool.
type sight struct{ run, pool string }

// seen is when a run was last seen waiting for what it then got.
func (l *Log) seen() map[sight]int64 {
	seen := map[sight]int64{}
	for _, w := range l.views {
		for _, e := range w.waiters {
			if r := l.byID[e.run]; r != nil && r.granted() != nil && w.from < r.granted().At {
				at := sight{e.run, w.pool}
				seen[at] = max(seen[at], w.from)
			}
		}
	}
	return seen
}

// grants lists the jobs that held slots of their own, by pool, in the order of
// their tokens.
func (l *Log) grants(seen map[sight]int64) map[string][]*Grant {
	all := map[string][]*Grant{}
	for _, r := range l.runs {
		s := r.granted()
		if s == nil || s.Token == 0 || l.underLease(r) || l.reuses(r, s) {
			continue
		}
		all[s.Pool] = append(all[s.Pool], &Grant{
			run: r, weight: r.weight, token: s.Token, slots: s.Slots, from: s.At, until: l.aliveUntil(r),
			after: max(r.launch, seen[sight{r.id, s.Pool}]),
		})
	}
	for _, g := range all {
		slices.SortStableFunc(g, func(a, b *Grant) int { return cmp.Compare(a.token, b.token) })
		// A run that was granted later has started: so those before it had been granted.
		for i := len(g) - 2; i >= 0; i-- {
			g[i].from = min(g[i].from, g[i+1].from)
		}
		for i := 1; i < len(g); i++ {
			g[i].after = max(g[i].after, g[i-1].after)
		}
	}
	return all
}

// underLease: it ran in the slots of a kept lease.
func (l *Log) underLease(r *Run) bool { return r.parent != "" && l.byID[r.parent].kept }

// reuses: it ran in the slot of the job around it.
func (l *Log) reuses(r *Run, s *Record) bool {
	p := l.byID[r.parent]
	if p == nil {
		return false
	}
	o := p.record("start")
	return o != nil && o.Pool == s.Pool && o.Token == s.Token
}

func (r *Run) record(what string) *Record {
	for i := range r.records {
		if r.records[i].What == what {
			return &r.records[i]
		}
	}
	return nil
}

// aliveUntil is the last instant at which its slots were certainly held.
func (l *Log) aliveUntil(r *Run) (t int64) {
	if r.kept {
		return l.keptUntil(r)
	}
	for _, rec := range r.records {
		switch rec.What {
		case "start", "end", "term", "beat":
			t = max(t, rec.At)
		case "left":
			if r.tree && !(l.server != nil && r.killed) {
				t = max(t, rec.At)
			}
		}
	}
	for _, s := range r.signals {
		if s.sent && !s.berth {
			t = max(t, s.at)
		}
	}
	return t
}

// tokens: no two grants of a pool share one, and of two whose order is certain
// (one was not granted before the other had started) the later has the greater.
func (v *Verdict) tokens(pool string, grants []*Grant) {
	for i := 1; i < len(grants); i++ {
		if a, b := grants[i-1], grants[i]; a.token == b.token {
			v.badf("token", "pool %s: runs %s and %s both have token %d", pool, a.run.id, b.run.id, a.token)
		}
	}
	byStart := slices.SortedFunc(slices.Values(grants), func(a, b *Grant) int {
		return cmp.Compare(a.run.granted().At, b.run.granted().At)
	})
	byLaunch := slices.SortedFunc(slices.Values(grants), func(a, b *Grant) int {
		return cmp.Compare(a.run.launch, b.run.launch)
	})
	var top *Grant
	next := 0
	for _, b := range byLaunch {
		for ; next < len(byStart) && byStart[next].run.granted().At < b.run.launch; next++ {
			if top == nil || byStart[next].token > top.token {
				top = byStart[next]
			}
		}
		if top != nil && top.token > b.token {
			v.badf("token", "pool %s: run %s was launched after run %s had started, and has token %d after %d",
				pool, b.run.id, top.run.id, b.token, top.token)
		}
	}
}

// slots: as many as were asked for, and never one of them held twice.
func (v *Verdict) slots(l *Log, pool string, grants []*Grant) {
	held := map[int][]*Grant{}
	for _, g := range grants {
		if len(g.slots) != g.run.weight || len(slices.Compact(slices.Sorted(slices.Values(g.slots)))) != g.run.weight {
			v.badf("slot", "pool %s: run %s of weight %d has slots %v", pool, g.run.id, g.run.weight, g.slots)
		}
		for _, s := range g.slots {
			held[s] = append(held[s], g)
		}
	}
	for _, s := range slices.Sorted(maps.Keys(held)) {
		list := held[s]
		slices.SortFunc(list, func(a, b *Grant) int { return cmp.Compare(a.from, b.from) })
		last := list[0]
		for _, g := range list[1:] {
			if g.from < last.until {
				v.badf("slot", "pool %s: slot %d was held by run %s (token %d) until %d and by run %s (token %d) from %d%s%s",
					pool, s, last.run.id, last.token, last.until, g.run.id, g.token, g.from, l.history(last.run), l.history(g.run))
			}
			if g.until > last.until {
				last = g
			}
		}
	}
}

// limit: at no instant do the jobs that certainly hold slots hold more than any
// of them allows. Every grant leaves that true, and no release makes it false,
// so it holds for any part of the holders at any instant, not only at starts.
func (v *Verdict) limit(l *Log, pool string, grants []*Grant) {
	type event struct {
		at  int64
		off bool
		g   *Grant
	}
	var events []event
	for _, g := range grants {
		if g.from < g.until {
			events = append(events, event{g.from, false, g}, event{g.until, true, g})
		}
	}
	slices.SortStableFunc(events, func(a, b event) int {
		if c := cmp.Compare(a.at, b.at); c != 0 || a.off == b.off {
			return c
		} else if a.off {
			return -1
		}
		return 1
	})
	alive, used := map[*Grant]bool{}, 0
	for _, e := range events {
		if e.off {
			delete(alive, e.g)
			used -= e.g.weight
			continue
		}
		alive[e.g] = true
		used += e.g.weight
		v.within(l, pool, alive, e.at)
		v.most[pool] = max(v.most[pool], used)
		for g := range alive {
			if g.run.limit > 0 && used > g.run.limit {
				v.badf("limit", "pool %s: %d slots in use when run %s had started, run %s asked for at most %d; held by %s",
					pool, used, e.g.run.id, g.run.id, g.run.limit, describe(alive))
				break
			}
		}
	}
}

func describe(alive map[*Grant]bool) string {
	var names []string
	for g := range alive {
		names = append(names, fmt.Sprintf("%s(weight %d, -n %d, slots %v)", g.run.id, g.weight, g.run.limit, g.slots))
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// ownLimit: a start that was decided while the pool's own limit certainly was
// the same all the time left no more slots in use than it allows. Those in use
// at the decision: granted before it (by token) and held until after it.
func (v *Verdict) ownLimit(l *Log, pool string, grants []*Grant) {
	var before []*Grant
	for _, g := range grants {
		limit := l.limitBetween(pool, g.after, g.from)
		before = slices.DeleteFunc(before, func(b *Grant) bool { return b.until < g.after })
		used := g.weight
		for _, b := range before {
			if b.until >= g.from {
				used += b.weight
			}
		}
		before = append(before, g)
		if limit == nil {
			continue
		}
		v.own++
		if used > *limit {
			v.badf("limit", "pool %s: %d slots in use when run %s was granted, 'berth limit' said %d", pool, used, g.run.id, *limit)
		}
	}
}

// limitBetween is the pool's own limit if it had one and no change
// of it was under way in that time.
func (l *Log) limitBetween(pool string, from, to int64) *int {
	var limit *int
	for _, s := range l.limits {
		switch {
		case s.pool != pool || s.from > to:
		case s.to <= from:
			limit = s.limit
		default:
			return nil
		}
	}
	return limit
}
