//go:build unix

package cmd

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"syscall"
	"time"
)

// stormServer is what the checker has to know of a store on a server. There leases
// end by a clock, so the instant at which a slot is free again is certain only for
// who gives it back. nil: the store is a directory.
type stormServer struct {
	// ttl is short, so that a storm sees leases end: of those that are killed.
	ttl time.Duration
	// In TTLs: how long after the last heartbeat a lease ends at the latest, and a
	// waiter is passed; and how long nobody answers before a lease may be lost.
	frees, passes, endures float64
	holdOff                time.Duration // nobody new starts for so long after it has forgotten all
	elects                 bool          // each leader that is chosen gives every lease a whole TTL again
	outages                []stormOutage
}

// stormServers are the kinds of servers, see the table of promises in the README.
// With etcd's TTL a job lives through an election.
var stormServers = map[string]stormServer{
	"redis": {ttl: 3 * time.Second, frees: 1.5, passes: 0.5, endures: 1. / 6, holdOff: 30 * time.Second},
	"etcd":  {ttl: 5 * time.Second, frees: 1, passes: 1, endures: 0.25, elects: true},
}

// of is a part of a run's TTL.
func (s *stormServer) of(r *stormRun, part float64) time.Duration {
	return time.Duration(float64(cmp.Or(r.ttl, s.ttl)) * part)
}

// stormSlack is how late a server may be to notice the end of a lease, on a machine
// that is busy with the storm itself.
const stormSlack = 10 * time.Second

// stormUnreachable is how berth says that a server does not answer.
var stormUnreachable = regexp.MustCompile(`cannot reach store|store \S+ cannot do it now`)

// stormOutage is what happened between two instants, to the server:
//
//	frozen     nobody answered
//	cut        it closed all connections
//	restarted  after a kill
//	flushed    it forgot all that it knew
//	slow       somebody waited long for an answer, on a machine that may be starved
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
type stormOutage struct {
	what     string
	from, to int64
	run      string // "": it was everybody's
}

func (o stormOutage) lasted() time.Duration { return time.Duration(o.to - o.from) }

func (s *stormServer) during(from, to int64, is func(stormOutage) bool) bool {
	return s != nil && slices.ContainsFunc(s.outages, func(o stormOutage) bool {
		return o.from <= to && o.to >= from && o.what != "member" && o.what != "hung" && is(o)
	})
}

// met is during for what a run met.
func (s *stormServer) met(r *stormRun, from, to int64, is func(stormOutage) bool) bool {
	return s.during(from, to, func(o stormOutage) bool { return (o.run == "" || o.run == r.id) && is(o) })
}

// cutOff: whoever had a connection may have lost it, or found nobody.
func (s *stormServer) cutOff(from, to int64) bool {
	return s.during(from, to, func(o stormOutage) bool { return o.what == "cut" || o.what == "restarted" })
}

// mayRefuse: it may have given up for want of an answer, if it had --wait: when the
// first answer takes longer than that, on a machine that is merely busy. Who waits for
// as long as it takes waits through any outage.
func (l *stormLog) mayRefuse(r *stormRun) bool {
	if l.server == nil || r.record("start") != nil || !r.waits {
		return false
	}
	// What a run inside a job said is not told apart from what that job says.
	return r.parent != "" || r.refused()
}

// weather is what happened to the server in that time, for a finding.
func (s *stormServer) weather(r *stormRun, from, to int64) (all []string) {
	s.met(r, from, to, func(o stormOutage) bool {
		all = append(all, fmt.Sprintf("%s from %d to %d", o.what, o.from, o.to))
		return false
	})
	return all
}

// passedOver: a waiter gives a sign of life every third of the TTL. One that comes
// late because of the server may find that others were served first. A server that
// has forgotten all waits for all of them.
func (s *stormServer) passedOver(r *stormRun, from, to int64) bool {
	return s.met(r, from, to, func(o stormOutage) bool {
		return o.lasted() > s.of(r, s.passes)-s.of(r, 1)/3-stormLate
	})
}

// stormLate is how late a timer may be on a machine that is busy.
const stormLate = 200 * time.Millisecond

// over is when nothing of a run may be seen any more.
func (l *stormLog) over(r *stormRun) int64 {
	switch {
	case r.gone == 0:
		return never
	case l.server != nil && l.leftLease(r):
		return l.server.freed(r)
	}
	return max(r.gone, l.server.cameAnew(r))
}

// freed is when a lease that nobody gave back has ended at the latest.
func (s *stormServer) freed(r *stormRun) int64 {
	most := int64(s.of(r, s.frees) + stormSlack)
	until := r.gone + most
	for _, o := range s.outages { // in the order of their beginnings
		if s.elects && o.run == "" && o.from >= r.gone && o.from <= until {
			until = max(until, min(o.to, o.from+int64(stormElection))+most)
		}
	}
	return until
}

// stormElection is how long after a leader is away another one is chosen, as a rule.
const stormElection = 2 * time.Second

// cameAnew is until when there may be something of a run again, 0 never: what it had
// sent arrived when the server had forgotten all, so that nothing tells it from what
// somebody new asks for.
func (s *stormServer) cameAnew(r *stormRun) (until int64) {
	s.met(r, r.launch, r.gone, func(o stormOutage) bool {
		if o.what == "late" && s.during(o.from, o.to, func(f stormOutage) bool { return f.what == "flushed" }) {
			until = max(until, o.to+int64(s.of(r, s.frees)+stormSlack))
		}
		return false
	})
	return until
}

// leftLease: its berth may have ended without giving anything back. How one
// inside another ended is known only as far as the job around it lived to tell.
func (l *stormLog) leftLease(r *stormRun) bool {
	if r.parent != "" {
		end := r.record("inner")
		return end == nil || end.Code == 128+9 || end.Code == codeFailed
	}
	return r.killed || r.refused() || l.server.keptFromTelling(r)
}

// keptFromTelling: it could not give back what it had, or what it had asked for and may
// still get. With a server that answers, that needs two troubles at its end, for what went wrong
// once is done again over another connection: a step that comes late, say, and the loss
// of what took it back.
func (s *stormServer) keptFromTelling(r *stormRun) bool {
	troubles := 0
	s.met(r, r.gone-int64(stormGivesUp), r.gone, func(o stormOutage) bool {
		switch o.what {
		case "late", "deaf", "reset", "cut", "restarted":
			troubles++
		}
		if o.run == "" && o.lasted() > stormTells {
			troubles = 2 // as good as
		}
		return false
	})
	return troubles > 1
}

// stormTells is how long a berth at its end tries at least to tell the server of it, and
// stormGivesUp at most.
const stormTells, stormGivesUp = time.Second, 5 * time.Second

// refused: it gave up for want of a server, and could tell that server nothing of it.
func (r *stormRun) refused() bool {
	return r.exit == codeFailed && stormUnreachable.MatchString(r.said)
}

// mayLose: a lease is lost only by who could not renew it. That is tried every third
// of the TTL, and the job is ended when somewhat more than a third is left. What was
// over a TTL before that end is no reason.
func (l *stormLog) mayLose(r *stormRun) bool { return l.lostBy(r, r.ended) }

func (l *stormLog) lostBy(r *stormRun, at int64) bool {
	if l.server == nil || r.got(true, syscall.SIGSTOP) {
		return l.server != nil
	}
	since := max(r.launch, at-int64(l.server.of(r, 1)+stormTells))
	return l.server.met(r, since, at, func(o stormOutage) bool { return o.lasted() > l.server.of(r, l.server.endures) })
}

// holdOff: whoever was certainly granted slots after the server had forgotten all was
// so only when all that live had had the time to register again. A run whose start
// record is late may have been granted before.
func (v *stormVerdict) holdOff(l *stormLog, pool string, grants []*stormGrant) {
	for _, g := range grants {
		at := g.run.record("start").At
		l.server.during(at-int64(l.server.hold()), at, func(o stormOutage) bool {
			if o.what == "flushed" && (g.after >= o.to || at > o.to+int64(stormGivesUp)) && at < o.from+int64(l.server.holdOff) {
				v.badf("hold-off", "pool %s: run %s started %v after the server had forgotten all (token %d, launched %d, seen %d, started %d, flushed from %d to %d)",
					pool, g.run.id, time.Duration(at-o.to), g.token, g.run.launch, g.after, at, o.from, o.to)
			}
			return false
		})
	}
}

func (s *stormServer) hold() time.Duration {
	if s == nil {
		return 0
	}
	return s.holdOff
}

// shown: a run that certainly held slots for all of a look is in it. After the server
// has forgotten all it is there again before anybody new may start.
func (v *stormVerdict) shown(l *stormLog, pool string, grants []*stormGrant) {
	if l.server == nil {
		return
	}
	for _, w := range l.views {
		if w.pool != pool || l.server.during(w.from-int64(l.server.holdOff), w.to, func(o stormOutage) bool { return o.what == "flushed" }) {
			continue
		}
		for _, g := range grants {
			r := g.run
			if g.from > w.from || g.until < w.to || l.lostBy(r, w.to) || slices.ContainsFunc(w.holders, func(h stormHolder) bool { return h.run == r.id }) {
				continue
			}
			v.badf("hidden", "pool %s: run %s certainly held slots %v (token %d) from %d to %d, and 'berth ls' of %d did not show it; server %v",
				pool, r.id, g.slots, g.token, g.from, g.until, w.from, l.server.weather(r, r.launch, w.to))
		}
	}
}

// outlived: with a server nobody would renew the lease of a job whose berth was
// killed, so the kernel kills it, too, before anybody hears of that berth's end. A job
// without a slot (--on-busy run) has no lease.
func (v *stormVerdict) outlived(l *stormLog, r *stormRun) {
	if s := r.record("start"); l.server == nil || !r.killed || s == nil || s.Token == 0 {
		return
	}
	for _, rec := range r.records {
		late := time.Duration(rec.At - r.ended)
		if rec.What == "left" || late <= 0 {
			continue
		}
		v.late = max(v.late, late)
		if late > stormLate {
			v.badf("orphan", "run %s: its berth was killed and ended %v before its job wrote %q (launched %d, signals %v)", r.id, late, rec.What, r.launch, r.signals)
		}
	}
}
