//go:build linux

package main

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"syscall"
	"time"
)

// Server is what the checker has to know of a store on a server. There leases
// end by a clock, so the instant at which a slot is free again is certain only for
// the holder that gives it back. nil: the store is a directory.
type Server struct {
	// ttl is short, so that a storm sees leases end: of those that are killed.
	ttl time.Duration
	// In TTLs: how long after the last heartbeat a lease ends at the latest, and a
	// waiter is passed; and how long the server may not answer before a lease may be lost.
	frees, passes, endures float64
	holdOff                time.Duration // no new job starts for so long after it has forgotten all
	elects                 bool          // each leader that is chosen gives every lease a whole TTL again
	outages                []Outage
}

// serverKinds are the kinds of servers, see the table of promises in the README.
// With etcd's TTL a job lives through an election.
var serverKinds = map[string]Server{
	"redis": {ttl: 3 * time.Second, frees: 1.5, passes: 0.5, endures: 1. / 6, holdOff: 30 * time.Second},
	"etcd":  {ttl: 5 * time.Second, frees: 1, passes: 1, endures: 0.25, elects: true},
}

// of is a part of a run's TTL.
func (s *Server) of(r *Run, part float64) time.Duration {
	return time.Duration(float64(cmp.Or(r.ttl, s.ttl)) * part)
}

// slack is how late a server may be to notice the end of a lease, on a machine
// that is busy with the storm itself.
const slack = 10 * time.Second

// saysUnreachable is how berth says that a server does not answer.
var saysUnreachable = regexp.MustCompile(`cannot reach store|store \S+ refuses for now`)

// Outage is what happened between two instants, to the server:
//
//	frozen     it did not answer
//	cut        it closed all connections
//	restarted  after a kill
//	flushed    it forgot all that it knew
//	slow       an answer took long, on a machine that may be starved
//
// to one member of a cluster whose others went on, which excuses nothing:
//
//	member     it was frozen or restarted
//	hung       it was frozen, for good
//
// or on the way between it and a run:
//
//	late       what the run had sent was held back, and delivered then
//	deaf       it, or the answers, were lost, until the run gave the connection up
//	reset      the connection was broken
type Outage struct {
	what     string
	from, to int64
	run      string // "": it was that of all runs
}

func (o Outage) lasted() time.Duration { return time.Duration(o.to - o.from) }

func (s *Server) during(from, to int64, is func(Outage) bool) bool {
	return s != nil && slices.ContainsFunc(s.outages, func(o Outage) bool {
		return o.from <= to && o.to >= from && o.what != "member" && o.what != "hung" && is(o)
	})
}

// met is during for what a run met.
func (s *Server) met(r *Run, from, to int64, is func(Outage) bool) bool {
	return s.during(from, to, func(o Outage) bool { return (o.run == "" || o.run == r.id) && is(o) })
}

// cutOff: a connection may have been lost, or refused.
func (s *Server) cutOff(from, to int64) bool {
	return s.during(from, to, func(o Outage) bool { return o.what == "cut" || o.what == "restarted" })
}

// mayRefuse: it may have given up without an answer, if it had --wait: when the
// first answer takes longer than that, on a machine that is merely busy. One that waits for
// as long as it takes waits through any outage.
func (l *Log) mayRefuse(r *Run) bool {
	if l.server == nil || r.record("start") != nil || !r.waits {
		return false
	}
	// What a run inside a job said is not told apart from what that job says.
	return r.parent != "" || r.refused()
}

// weather is what happened to the server in that time, for a finding.
func (s *Server) weather(r *Run, from, to int64) (all []string) {
	s.met(r, from, to, func(o Outage) bool {
		all = append(all, fmt.Sprintf("%s from %d to %d", o.what, o.from, o.to))
		return false
	})
	return all
}

// passedOver: a waiter writes a heartbeat every third of the TTL. One that comes
// late because of the server may find that others were served first. A server that
// has forgotten all waits for all of them.
func (s *Server) passedOver(r *Run, from, to int64) bool {
	return s.met(r, from, to, func(o Outage) bool {
		return o.lasted() > s.of(r, s.passes)-s.of(r, 1)/3-timerLate
	})
}

// timerLate is how late a timer may be on a machine that is busy.
const timerLate = 200 * time.Millisecond

// over is when nothing of a run may be seen any more.
func (l *Log) over(r *Run) int64 {
	switch {
	case r.gone == 0:
		return never
	case l.server != nil && l.leftLease(r):
		return l.server.freed(r)
	}
	return max(r.gone, l.server.reappears(r))
}

// freed is when a lease that was not given back has ended at the latest.
func (s *Server) freed(r *Run) int64 {
	most := int64(s.of(r, s.frees) + slack)
	until := r.gone + most
	for _, o := range s.outages { // in the order of their beginnings
		if s.elects && o.run == "" && o.from >= r.gone && o.from <= until {
			until = max(until, min(o.to, o.from+int64(electionTime))+most)
		}
	}
	return until
}

// electionTime is how long after a leader is away another one is chosen, as a rule.
const electionTime = 2 * time.Second

// reappears is until when there may be something of a run again, 0 never: what it had
// sent arrived when the server had forgotten all, so that nothing tells it from a
// new request.
func (s *Server) reappears(r *Run) (until int64) {
	s.met(r, r.launch, r.gone, func(o Outage) bool {
		if o.what == "late" && s.during(o.from, o.to, func(f Outage) bool { return f.what == "flushed" }) {
			until = max(until, o.to+int64(s.of(r, s.frees)+slack))
		}
		return false
	})
	return until
}

// leftLease: its berth may have ended without giving anything back. How one
// inside another ended is known only as far as the job around it lived to tell.
func (l *Log) leftLease(r *Run) bool {
	if r.parent != "" {
		end := r.record("inner")
		return end == nil || end.Code == 128+9 || end.Code == codeFailed
	}
	if r.kept { // its keeper gives back, not the shell
		return r.keeperGot(syscall.SIGKILL, never) || l.unanswered(r) || l.server.keptFromTelling(r)
	}
	return r.killed || r.refused() || l.server.keptFromTelling(r)
}

// keptFromTelling: it could not give back what it had, or what it had asked for and may
// still get. With a server that answers, that needs two troubles at its end, for what went wrong
// once is done again over another connection: a step that comes late, say, and the loss
// of what took it back.
func (s *Server) keptFromTelling(r *Run) bool {
	troubles := 0
	s.met(r, r.gone-int64(givesUpAfter), r.gone, func(o Outage) bool {
		switch o.what {
		case "late", "deaf", "reset", "cut", "restarted":
			troubles++
		}
		if o.run == "" && o.lasted() > tellsFor {
			troubles = 2 // as good as
		}
		return false
	})
	return troubles > 1
}

// tellsFor is how long a berth at its end tries at least to tell the server of it, and
// givesUpAfter at most.
const tellsFor, givesUpAfter = time.Second, 5 * time.Second

// refused: it gave up because no server answered, and so could not tell the server.
func (r *Run) refused() bool {
	return r.exit == codeFailed && saysUnreachable.MatchString(r.said)
}

// mayLose: a lease is lost only when it could not be renewed. That is tried every third
// of the TTL, and the job is ended when somewhat more than a third is left. What was
// over a TTL before that end is no reason.
func (l *Log) mayLose(r *Run) bool { return l.lostBy(r, r.ended) }

func (l *Log) lostBy(r *Run, at int64) bool {
	if l.server == nil || r.got(true, syscall.SIGSTOP) {
		return l.server != nil
	}
	since := max(r.launch, at-int64(l.server.of(r, 1)+tellsFor))
	return l.server.met(r, since, at, func(o Outage) bool { return o.lasted() > l.server.of(r, l.server.endures) })
}

// holdOff: a run that was certainly granted slots after the server had forgotten all
// was granted them only when all that live had had the time to register again. A run whose start
// record is late may have been granted before.
func (v *Verdict) holdOff(l *Log, pool string, grants []*Grant) {
	for _, g := range grants {
		at := g.run.granted().At
		l.server.during(at-int64(l.server.hold()), at, func(o Outage) bool {
			if o.what == "flushed" && (g.after >= o.to || at > o.to+int64(givesUpAfter)) && at < o.from+int64(l.server.holdOff) {
				v.badf("hold-off", "pool %s: run %s started %v after the server had forgotten all (token %d, launched %d, seen %d, started %d, flushed from %d to %d)",
					pool, g.run.id, time.Duration(at-o.to), g.token, g.run.launch, g.after, at, o.from, o.to)
			}
			return false
		})
	}
}

func (s *Server) hold() time.Duration {
	if s == nil {
		return 0
	}
	return s.holdOff
}

// shown: a run that certainly held slots for all of a look is in it. After the server
// has forgotten all it is there again before any new job may start.
func (v *Verdict) shown(l *Log, pool string, grants []*Grant) {
	if l.server == nil {
		return
	}
	for _, w := range l.views {
		if w.pool != pool || l.server.during(w.from-int64(l.server.holdOff), w.to, func(o Outage) bool { return o.what == "flushed" }) {
			continue
		}
		for _, g := range grants {
			r := g.run
			if g.from > w.from || g.until < w.to || l.lostBy(r, w.to) || slices.ContainsFunc(w.holders, func(h Holder) bool { return h.run == r.id }) {
				continue
			}
			v.badf("hidden", "pool %s: run %s certainly held slots %v (token %d) from %d to %d, and 'berth ls' of %d did not show it; server %v",
				pool, r.id, g.slots, g.token, g.from, g.until, w.from, l.server.weather(r, r.launch, w.to))
		}
	}
}

// outlived: with a server, no process would renew the lease of a job whose berth was
// killed. So the kernel kills the job as well, before the end of that berth is seen. A job
// without a slot (--on-busy run) has no lease.
func (v *Verdict) outlived(l *Log, r *Run) {
	if s := r.record("start"); l.server == nil || !r.killed || s == nil || s.Token == 0 {
		return
	}
	for _, rec := range r.records {
		late := time.Duration(rec.At - r.ended)
		if rec.What == "left" || late <= 0 {
			continue
		}
		v.late = max(v.late, late)
		if late > timerLate {
			v.badf("orphan", "run %s: its berth was killed and ended %v before its job wrote %q (launched %d, signals %v)", r.id, late, rec.What, r.launch, r.signals)
		}
	}
}
