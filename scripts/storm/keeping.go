//go:build linux

package main

import (
	"cmp"
	"fmt"
	"slices"
	"syscall"
)

// granted is the record of a run that certainly has its slots by then.
func (r *Run) granted() *Record {
	if r.kept {
		return r.record("held")
	}
	return r.record("start")
}

// under are the jobs of a shell.
func (l *Log) under(r *Run) (all []*Run) {
	for _, c := range l.runs {
		if c.parent == r.id {
			all = append(all, c)
		}
	}
	return all
}

// bare: it ran without 'berth run --lease'.
func (r *Run) bare() bool {
	launch := r.record("launch")
	return launch != nil && launch.Code == bareCode
}

// keeperGot: its keeper got that signal until then.
func (r *Run) keeperGot(sig syscall.Signal, until int64) bool {
	return slices.ContainsFunc(r.keeper, func(s Signal) bool { return s.sig == sig && s.at <= until })
}

// ends: something may have ended a kept lease until then, be it with the help of its keeper: a
// time limit, a stop, a signal, the loss of the lease.
func (l *Log) ends(r *Run, until int64) bool {
	return r.timeout && until >= r.launch+int64(r.limited) || l.stopped(r, until) || r.keeperGot(syscall.SIGTERM, until) ||
		l.server != nil && (r.keeperGot(syscall.SIGSTOP, until) || l.lostBy(r, until))
}

// keptUntil is the last instant at which a kept slot was certainly held. The shell holds it until
// it gives it back, unless something else has ended the lease before. A job under the lease holds
// it to its end, whatever happens. What was only started with the lease in its environment holds
// it when the keeper was killed, in a directory.
func (l *Log) keptUntil(r *Run) (t int64) {
	held := r.record("held")
	if held == nil {
		return 0
	}
	t = held.At
	for _, rec := range r.records {
		if rec.What == "giving" && !l.ends(r, rec.At) && !r.keeperGot(syscall.SIGKILL, rec.At) {
			t = max(t, rec.At)
		}
	}
	for _, c := range l.under(r) {
		if until := l.aliveUntil(c); !c.bare() || l.holdsAlone(r, c, until) {
			t = max(t, until)
		}
	}
	return t
}

// holdsAlone: what was only started with the lease in its environment lived while the slot was
// certainly held. It keeps the slot when the keeper is killed, but only in a directory, and only
// if it lived by then.
func (l *Log) holdsAlone(r, c *Run, until int64) bool {
	since := until
	if s := c.record("start"); l.server == nil && s != nil {
		since = s.At
	}
	return !r.killed && !l.ends(r, until) && !r.keeperGot(syscall.SIGKILL, since)
}

// keptCodes are the exit codes of a shell that can be explained: that of a 'berth acquire' that
// got no slot, else 0.
func (l *Log) keptCodes(r *Run) (ok []int) {
	held, stopped := r.record("held") != nil, l.stopped(r, never)
	add := func(why bool, codes ...int) {
		if why {
			ok = append(ok, codes...)
		}
	}
	add(held, codeOK)
	add(r.got(true, syscall.SIGKILL) || !held && r.keeperGot(syscall.SIGKILL, never), 128+9)
	add(r.got(true, syscall.SIGTERM) || !held && r.keeperGot(syscall.SIGTERM, never), 128+15)
	add(!held && stopped, 128+15, 128+9)
	add(!held && (stopped || r.waits || l.superseded(r)), codeBusy)
	add(!held && (l.tooHeavy(r) || l.unlimited(r) || l.mayRefuse(r)), codeFailed)
	add(!held && l.mayLose(r), codeLost)
	return ok
}

// keeps checks a shell that keeps a slot, and its jobs.
func (v *Verdict) keeps(l *Log, r *Run) {
	switch {
	case r.hung:
		return
	case r.ended == 0:
		v.badf("lost", "run %s did not end", r.id)
		return
	case !slices.Contains(l.keptCodes(r), r.exit):
		v.badf("exit", "run %s, which keeps a slot, ended with %d, which nothing explains; %s", r.id, r.exit, l.lifeOf(r))
	}
	if given := r.record("given"); given != nil && given.Code != codeOK && !l.unanswered(r) {
		v.badf("release", "run %s: 'berth release' ended with %d; %s", r.id, given.Code, l.lifeOf(r))
	}
	if r.record("held") == nil {
		return // it had nothing to start a job with
	}
	jobs := slices.DeleteFunc(l.under(r), (*Run).bare)
	for _, c := range jobs {
		v.adopted(l, r, c, jobs)
	}
	v.oneAtATime(l, r, jobs)
}

// history is all that is known of a shell and its jobs, with the times, for a finding.
func (l *Log) history(r *Run) string {
	if !r.kept {
		return ""
	}
	s := "\n  " + l.lifeOf(r)
	for _, of := range append([]*Run{r}, l.under(r)...) {
		s += fmt.Sprintf("\n  %s, signals %v:", of.id, of.signals)
		for _, rec := range of.records {
			s += fmt.Sprintf(" %s(%d) %d", rec.What, rec.Code, rec.At)
		}
	}
	return s
}

// unanswered: the server did not answer one of its berths. They all say that in one place.
func (l *Log) unanswered(r *Run) bool { return l.server != nil && saysUnreachable.MatchString(r.said) }

// adopted checks a job under a lease.
func (v *Verdict) adopted(l *Log, r, c *Run, jobs []*Run) {
	held, given, start, end := r.record("held"), r.record("given"), c.record("start"), c.record("inner")
	if start != nil && (start.Token != held.Token || !slices.Equal(start.Slots, held.Slots)) {
		v.badf("adopt", "run %s has token %d and slots %v; %s", c.id, start.Token, start.Slots, l.lifeOf(r))
	}
	if given != nil && given.Code == codeOK && c.launch > given.At && !r.keeperGot(syscall.SIGKILL, never) &&
		(start != nil || end != nil && end.Code != codeLost && !l.unanswered(r)) {
		v.badf("adopt", "run %s was launched after the lease had been given back (%s); %s", c.id, c.story(), l.lifeOf(r))
	}
	if start != nil && c.record("end") == nil && !l.adoptionMayEnd(r, c) {
		v.badf("lost", "run %s: its job started under a lease and did not come to its end (%s); %s", c.id, c.story(), l.lifeOf(r))
	}
	if end != nil && !slices.Contains(l.adoptedCodes(r, c, jobs), end.Code) {
		v.badf("exit", "run %s ended under a lease with %d, which nothing explains (%s); %s", c.id, end.Code, c.story(), l.lifeOf(r))
	}
}

// told: its keeper was told to end, or its lease was, which ends what runs under the lease.
func (l *Log) told(r *Run) bool { return l.stopped(r, never) || r.keeperGot(syscall.SIGTERM, never) }

// adoptionMayEnd: something may have ended a job under a lease early. A KILL of the keeper, or of
// the process that the slot is for, does not.
func (l *Log) adoptionMayEnd(r, c *Run) bool {
	return r.timeout || l.told(r) || c.got(true, syscall.SIGTERM) || c.got(false, syscall.SIGTERM) || c.got(false, syscall.SIGKILL) ||
		l.server != nil && (c.got(true, syscall.SIGKILL) || l.adoptionLost(c))
}

// adoptionLost: its berth may not have been able to renew the lease.
func (l *Log) adoptionLost(c *Run) bool {
	if end := c.record("inner"); end != nil {
		return l.lostBy(c, end.At)
	}
	return slices.ContainsFunc(c.records, func(rec Record) bool { return l.lostBy(c, rec.At+int64(l.server.ttl)) })
}

// adoptedCodes are the exit codes of 'berth run --lease' that can be explained.
func (l *Log) adoptedCodes(r, c *Run, jobs []*Run) (ok []int) {
	add := func(why bool, codes ...int) {
		if why {
			ok = append(ok, codes...)
		}
	}
	end, giving, started := c.record("inner"), r.record("giving"), c.record("start") != nil
	if done := c.record("end"); done != nil {
		ok = append(ok, done.Code)
	}
	add(r.timeout, codeTimeout)
	add(l.told(r) || c.got(true, syscall.SIGTERM) || c.got(false, syscall.SIGTERM), 128+15)
	add(l.told(r) || c.got(true, syscall.SIGKILL) || c.got(false, syscall.SIGKILL), 128+9)
	add(!started && slices.ContainsFunc(jobs, func(o *Run) bool { return o != c && mayAdopt(o, c.launch, end.At) }), codeBusy)
	add(!started && (l.ends(r, end.At) || r.keeperGot(syscall.SIGKILL, end.At) || giving != nil && giving.At <= end.At), codeLost)
	add(l.server != nil && l.adoptionLost(c), codeLost)
	add(l.unanswered(r), codeFailed)
	return ok
}

// mayAdopt: it may have had the lease at some time between two instants. One whose berth was
// killed may have had it as long as its job lived, or on a server until the lease would have ended.
func mayAdopt(o *Run, from, to int64) bool {
	end := o.record("inner")
	return o.launch <= to && (end == nil || end.At >= from || o.got(true, syscall.SIGKILL))
}

// oneAtATime: no two jobs under a lease live at once.
func (v *Verdict) oneAtATime(l *Log, r *Run, jobs []*Run) {
	jobs = slices.DeleteFunc(slices.Clone(jobs), func(c *Run) bool { return c.record("start") == nil })
	slices.SortFunc(jobs, func(a, b *Run) int { return cmp.Compare(a.record("start").At, b.record("start").At) })
	v.adoptions += len(jobs)
	for i := 1; i < len(jobs); i++ {
		if a, b := jobs[i-1], jobs[i]; l.aliveUntil(a) > b.record("start").At {
			v.badf("adopt", "run %s was under a lease from %d until %d, and run %s from %d; %s",
				a.id, a.record("start").At, l.aliveUntil(a), b.id, b.record("start").At, l.lifeOf(r))
		}
	}
}

// keptView: after a 'berth release' that succeeded no list shows the lease, unless its keeper was
// killed.
func (v *Verdict) keptView(l *Log, w View, r *Run) {
	given := r.record("given")
	if given == nil || given.Code != codeOK || given.At >= w.from || r.keeperGot(syscall.SIGKILL, never) {
		return
	}
	if l.server != nil && l.server.reappears(r) >= w.from {
		return
	}
	v.badf("leak", "pool %s: a list of %d shows the lease that run %s had given back; %s", w.pool, w.from, r.id, l.lifeOf(r))
}
