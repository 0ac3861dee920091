//go:build linux

package main

import (
	"fmt"
	"math"
	"slices"
	"syscall"
)

const never = math.MaxInt64

// The exit codes of berth. They are written down here once more, because a checker that
// took them from the program would find nothing wrong with them.
const (
	codeOK      = 0
	codeNo      = 1
	codeLost    = 74
	codeBusy    = 75
	codeTimeout = 124
	codeFailed  = 125
)

// ending: the run ended with a code that what happened to it explains, and its
// job was neither lost nor run twice.
func (v *Verdict) ending(l *Log, r *Run) {
	starts := 0
	for _, rec := range r.records {
		if rec.What == "start" {
			starts++
		}
	}
	if starts > 1 {
		v.badf("lost", "run %s: its job was started %d times", r.id, starts)
	}
	switch {
	case l.underLease(r): // which is checked with it
		return
	case r.kept:
		v.keeps(l, r)
		return
	}
	if r.parent != "" {
		v.inner(l, r)
		return
	}
	if r.hung {
		return
	}
	if r.ended == 0 {
		v.badf("lost", "run %s did not end", r.id)
		return
	}
	if !slices.Contains(l.codes(r), r.exit) {
		v.badf("exit", "run %s ended with %d, which nothing explains; its job ends with %d, records: %s; signals: %v; launched %d, ended %d; server: %v; it said: %s",
			r.id, r.exit, r.code, r.story(), r.signals, r.launch, r.ended, l.server.weather(r, r.launch, r.ended), r.said)
	}
	s := r.record("start")
	if s == nil {
		return
	}
	if r.record("end") == nil && !l.mayEndEarly(r) {
		v.badf("lost", "run %s: its job started and did not come to its end (exit code %d, records: %s, signals: %v)", r.id, r.exit, r.story(), r.signals)
	}
	v.outlived(l, r)
	// berth passes a TERM on to the job, or ends the wait with it. With --exec it
	// may be lost with the old program, and a deaf job does not care. No finding:
	// on a busy machine a job can be over before the TERM has come through.
	if r.record("end") != nil && !r.exec && !r.deaf && slices.ContainsFunc(r.signals, func(g Signal) bool {
		return g.berth && g.sent && g.sig == syscall.SIGTERM && g.at < s.At
	}) {
		v.unheeded++
	}
}

// lifeOf is what is known of a run, for a finding.
func (l *Log) lifeOf(r *Run) string {
	return fmt.Sprintf("records of run %s: %s; signals: %v, to its keeper: %v; launched %d, ended %d; server: %v; it said: %s",
		r.id, r.story(), r.signals, r.keeper, r.launch, r.ended, l.server.weather(r, r.launch, endOf(r)), r.said)
}

func (r *Run) story() (s string) {
	for i, rec := range r.records {
		if i == 0 || rec.What != r.records[i-1].What { // not each beat
			s += rec.What + " "
		}
	}
	return s
}

func (r *Run) got(berth bool, sig syscall.Signal) bool {
	return slices.ContainsFunc(r.signals, func(s Signal) bool { return s.berth == berth && s.sig == sig })
}

// codes are the exit codes that can be explained.
func (l *Log) codes(r *Run) (ok []int) {
	started, stopped := r.record("start") != nil, l.stopped(r, never)
	add := func(why bool, codes ...int) {
		if why {
			ok = append(ok, codes...)
		}
	}
	add(r.record("end") != nil, r.code)
	add(r.timeout, codeTimeout)
	add(r.got(true, syscall.SIGKILL) || r.got(false, syscall.SIGKILL), 128+9)
	add(r.got(true, syscall.SIGTERM) || r.got(false, syscall.SIGTERM), 128+15)
	add(stopped || l.replaced(r), 128+15, 128+9)
	add((stopped || l.replaced(r) || l.superseded(r)) && !started, codeBusy)
	add(!started && r.onBusy == "replace", codeBusy)
	add(!started && l.unlimited(r), codeFailed)
	add(!started && r.waits && r.onBusy == "fail", codeBusy)
	add(!started && r.waits && r.onBusy == "skip", codeOK)
	add(!started && l.tooHeavy(r), codeFailed)
	add(l.mayRefuse(r), codeFailed)
	add(l.mayLose(r), codeLost) // perhaps before its job had started
	return ok
}

// tooHeavy: the pool's own limit may have been below its weight.
func (l *Log) tooHeavy(r *Run) bool {
	last := map[string]*Limit{}
	for i := range l.limits {
		s := &l.limits[i]
		if !r.in(s.pool) {
			continue
		}
		if l := last[s.pool]; l != nil && s.to >= r.launch && l.forbids(r) {
			return true
		}
		last[s.pool] = s
	}
	for _, s := range last {
		if s.forbids(r) {
			return true
		}
	}
	return false
}

func (s *Limit) forbids(r *Run) bool {
	return s.limit != nil && *s.limit > 0 && *s.limit < r.weightIn(s.pool) && s.from <= r.ended
}

// mayEndEarly: the end of its job was requested. The death of its berth
// is no reason, unless it has to renew the lease: the job runs on. Nor is a frozen
// process.
func (l *Log) mayEndEarly(r *Run) bool {
	return r.timeout || l.stopped(r, never) || l.replaced(r) ||
		r.got(false, syscall.SIGKILL) || r.got(false, syscall.SIGTERM) || r.got(true, syscall.SIGTERM) ||
		(r.exec || l.server != nil) && r.got(true, syscall.SIGKILL) ||
		r.exit == codeLost && l.mayLose(r)
}

// inner checks a run inside a job that was not disturbed: only then is it known
// how it ended, and that it was not ended with the tree of that job.
func (v *Verdict) inner(l *Log, r *Run) {
	end, p := r.record("inner"), l.byID[r.parent]
	if end == nil || l.mayEndEarly(p) || p.got(true, syscall.SIGKILL) || l.stopped(r, never) {
		return
	}
	r.exit, r.ended = end.Code, end.At
	refused := r.exit == codeFailed && r.record("start") == nil && l.waitsForItself(p)
	if !refused && !slices.Contains(l.codes(r), r.exit) {
		v.badf("exit", "run %s inside run %s ended with %d, which nothing explains; records: %s; its job said: %s", r.id, p.id, r.exit, r.story(), p.said)
	}
}

// waitsForItself: its job wants a slot more than there may ever be. Without -n
// that is the number of CPUs, which is not known here.
func (l *Log) waitsForItself(r *Run) bool {
	want := *r
	want.weight++
	return r.takes && (min(r.limit, r.takesLimit) < want.weight || l.tooHeavy(&want))
}

// views: what 'berth ls' shows is never more than any holder asks for, and
// nothing of runs of which nothing is left.
func (v *Verdict) views(l *Log) {
	for _, w := range l.views {
		used, asked := 0, 0
		for _, h := range w.holders {
			used += h.slots
			if h.asks > 0 && (asked == 0 || h.asks < asked) {
				asked = h.asks
			}
			r := l.byID[h.run]
			if r != nil && r.kept {
				v.keptView(l, w, r)
			}
			switch {
			case h.state == "damaged" && (l.server != nil || !l.halfGone(w)):
				v.badf("leak", "pool %s: no known run holds a slot, and no berth was killed that could have left it", w.pool)
			case r != nil && l.over(r) < w.from:
				v.badf("leak", "pool %s: run %s still holds %d slots (%s) after all of it had ended (exit code %d, records: %s, launched %d, berth ended %d, gone %d, seen %d, signals %v, server %v, it said: %s)",
					w.pool, r.id, h.slots, h.state, r.exit, r.story(), r.launch, r.ended, r.gone, w.from, r.signals, l.server.weather(r, r.launch, r.gone), r.said)
			}
		}
		if asked > 0 && used > asked {
			v.badf("limit", "pool %s: 'berth ls' shows %d slots in use, and a holder that asks for %d", w.pool, used, asked)
		}
		for _, e := range w.waiters {
			r := l.byID[e.run]
			if e.place > 0 && r != nil && l.servedBefore(r, w.from) {
				v.badf("leak", "pool %s: run %s stands in the line of %d, though its job has had its slots since %d; server %v",
					w.pool, r.id, w.from, r.granted().At, l.server.weather(r, r.launch, w.from))
			}
			if e.place > 0 && r != nil && l.over(r) < w.from {
				v.badf("leak", "pool %s: run %s still stands in the line after all of it had ended (exit code %d, records: %s, launched %d, berth ended %d, gone %d, seen %d, signals %v, server %v, it said: %s)",
					w.pool, r.id, r.exit, r.story(), r.launch, r.ended, r.gone, w.from, r.signals, l.server.weather(r, r.launch, r.gone), r.said)
			}
		}
	}
}

// servedBefore: it had got what it waited for, before that instant. An emptied server
// does not remember that.
func (l *Log) servedBefore(r *Run, at int64) bool {
	s := r.granted()
	return s != nil && s.Token != 0 && s.At < at && (r.gone == 0 || at < r.gone) && l.server.reappears(r) == 0
}

// halfGone: a berth that was killed between emptying its record and unlocking
// leaves a slot without a record to what its job left behind.
func (l *Log) halfGone(w View) bool {
	return slices.ContainsFunc(l.runs, func(r *Run) bool {
		return r.in(w.pool) && (r.killed || r.kept || r.parent != "") && r.launch <= w.to && (r.gone == 0 || r.gone >= w.from)
	})
}
