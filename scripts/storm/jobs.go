//go:build linux

package main

import (
	"regexp"
	"slices"
	"strconv"
	"time"
)

// yieldPool is where requests have others end to make room for them. It is a pool of its
// own because there a job may end early whenever such a request was there.
var yieldPool = Pool{name: "yield", limits: []int{1, 2, 2}, own: []string{"none", "0", "1", "2"}}

// named picks whether the run has a job's name, and sends away who waits for the same job.
func (p *Planner) named(r *Run) []string {
	if r.key != "" || !p.chance(35) { // a place that is kept for a key is another story
		return nil
	}
	r.job = r.pool + "-" + pick(p, []string{"x", "y"})
	args := []string{"--job", r.job}
	if p.chance(50) {
		r.supersede = true
		args = append(args, "--supersede")
	}
	return args
}

// yielding is a run in the pool in which jobs make room.
func (p *Planner) yielding() *Plan {
	r := &Run{id: strconv.Itoa(p.runs), pool: yieldPool.name, limit: pick(p, yieldPool.limits), weight: 1, onBusy: "fail"}
	if r.limit > 1 && p.chance(25) {
		r.weight = 2
	}
	job := &Job{Run: r.id, Weight: r.weight, Limit: r.limit, For: p.between(0, 150*time.Millisecond)}
	args := []string{"run", "-q", "-p", r.pool, "-n", strconv.Itoa(r.limit), "--weight", strconv.Itoa(r.weight), "--label", "run=" + r.id, "--kill-after", "100ms"}
	args = append(args, p.ofStore()...)
	if p.chance(70) {
		r.job = pick(p, []string{"x", "y", "z"})
		args = append(args, "--job", r.job)
	}
	if p.chance(40) {
		r.onBusy, r.waits = "replace", true
		args = append(args, "--on-busy", "replace")
		if p.chance(50) {
			args = append(args, "--wait", p.between(0, 100*time.Millisecond).String())
		}
	}
	job.Deaf = p.chance(10)
	r.deaf = job.Deaf
	return p.plan(r, job, args)
}

var (
	saysSuperseded = regexp.MustCompile(`superseded by (\S+/[0-9a-f]+)`)
	saysReplaced   = regexp.MustCompile(`replaced by (\S+/[0-9a-f]+)`)
)

// runOf is the run of a lease or of a place in the line, nil: no list and no job has shown it.
func (l *Log) runOf(id string) *Run { return l.byID[l.ids[id]] }

// identify notes which id is whose.
func (l *Log) identify() {
	l.ids = map[string]string{}
	for _, w := range l.views {
		for _, h := range w.holders {
			l.ids[h.lease] = h.run
		}
		for _, e := range w.waiters {
			l.ids[e.lease] = e.run
		}
	}
	for _, r := range l.runs {
		for _, rec := range r.records {
			if (rec.What == "start" || rec.What == "held") && rec.Token != 0 && r.parent == "" {
				l.ids[rec.Lease] = r.id
			}
		}
	}
}

// beside: the berth of q was there at some time before r was over; 0: r is not over yet.
func beside(q, r *Run, over int64) bool {
	return (over == 0 || q.launch <= over) && r.launch <= endOf(q)
}

// sharesPool: both want slots of a pool.
func sharesPool(a, b *Run) bool {
	return b.in(a.pool) || slices.ContainsFunc(a.more, func(s Share) bool { return b.in(s.pool) })
}

// supersedes: it may have sent the other one away. It came to the line later, where it had
// no slots yet.
func supersedes(q, r *Run) bool {
	s := q.granted()
	return q != r && q.supersede && q.job == r.job && r.job != "" && sharesPool(q, r) && beside(q, r, r.ended) &&
		(s == nil || s.At >= r.launch)
}

// replaces: it may have had the other one end, also if only its job was left. It had no slots yet, and there was no other
// job of its own name.
func (l *Log) replaces(q, r *Run) bool {
	s := q.granted()
	return q != r && q.onBusy == "replace" && sharesPool(q, r) && beside(q, r, r.gone) &&
		(s == nil || s.At >= r.launch) && (q.job == r.job || q.job == "" || !l.otherThroughout(q, r))
}

// otherThroughout: from before the earliest moment at which q could have chosen r, until r was
// gone, a job of q's name certainly held slots: so r was not to be chosen.
func (l *Log) otherThroughout(q, r *Run) bool {
	return slices.ContainsFunc(l.runs, func(o *Run) bool {
		s := o.record("start")
		return o != r && o != q && o.job == q.job && o.pool == q.pool && s != nil && s.Token != 0 && !o.killed &&
			s.At <= max(q.launch, r.launch) && r.gone != 0 && l.aliveUntil(o) >= r.gone
	})
}

func endOf(r *Run) int64 {
	if r.ended == 0 {
		return never
	}
	return r.ended
}

func (l *Log) superseded(r *Run) bool {
	return slices.ContainsFunc(l.runs, func(q *Run) bool { return supersedes(q, r) })
}

// replaced: others may have had it end to make room.
func (l *Log) replaced(r *Run) bool {
	return slices.ContainsFunc(l.runs, func(q *Run) bool { return l.replaces(q, r) })
}

// madeWay: what a run says that others had it do, they may have had it do.
func (v *Verdict) madeWay(l *Log, r *Run) {
	for check, say := range map[string]*regexp.Regexp{"supersede": saysSuperseded, "replace": saysReplaced} {
		m := say.FindStringSubmatch(r.said)
		if m == nil {
			continue
		}
		may := func(q *Run) bool { return supersedes(q, r) }
		if check == "replace" {
			may = func(q *Run) bool { return l.replaces(q, r) }
		}
		v.made[check]++
		q := l.runOf(m[1])
		switch {
		case check == "supersede" && r.granted() != nil:
			v.badf(check, "run %s of job %q was running, and was sent away: %s", r.id, r.job, r.said)
		case q == nil && !slices.ContainsFunc(l.runs, may):
			v.badf(check, "run %s of job %q, launched %d, ended %d, made way for nobody that could have wanted it: %s", r.id, r.job, r.launch, r.ended, r.said)
		case q != nil && !may(q):
			v.badf(check, "run %s of job %q, launched %d, ended %d, made way for run %s of job %q, launched %d, records %s, ended %d, which cannot have wanted it: %s",
				r.id, r.job, r.launch, r.ended, q.id, q.job, q.launch, q.story(), q.ended, r.said)
		}
	}
}
