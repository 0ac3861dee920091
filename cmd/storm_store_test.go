//go:build unix

package cmd

import (
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
	frees   time.Duration // a lease ends so long after the last sign of life at the latest
	passes  time.Duration // and a waiter is passed after so long without one
	outages []stormOutage
}

// stormTTL is short, so that a storm sees leases end: of those that are killed.
const stormTTL = 3 * time.Second

// stormServers are the kinds of servers, see the table of promises in the README.
var stormServers = map[string]stormServer{
	"redis": {frees: stormTTL + stormTTL/2, passes: stormTTL / 2},
	"etcd":  {frees: stormTTL, passes: stormTTL},
}

// stormSlack is how late a server may be to notice the end of a lease, on a machine
// that is busy with the storm itself.
const stormSlack = 10 * time.Second

// stormUnreachable is how berth says that a server does not answer.
var stormUnreachable = regexp.MustCompile(`cannot reach store|store \S+ cannot do it now`)

// stormOutage is what happened to the server between two instants: frozen; cut, it
// closed all connections; restarted, after a kill; slow, somebody waited long for an
// answer, on a machine that may be starved.
type stormOutage struct {
	what     string
	from, to int64
}

func (s *stormServer) during(from, to int64, is func(stormOutage) bool) bool {
	return s != nil && slices.ContainsFunc(s.outages, func(o stormOutage) bool {
		return o.from <= to && o.to >= from && is(o)
	})
}

// cutOff: whoever had a connection may have lost it, or found nobody.
func (s *stormServer) cutOff(from, to int64) bool {
	return s.during(from, to, func(o stormOutage) bool { return o.what == "cut" || o.what == "restarted" })
}

// mayRefuse: it may have given up for want of an answer. Who has --wait does so, too,
// when the first answer takes longer than that, on a machine that is merely busy.
func (l *stormLog) mayRefuse(r *stormRun) bool {
	if l.server == nil || r.record("start") != nil {
		return false
	}
	if r.parent != "" { // what it said is not told apart from what the job around it says
		return r.waits || l.server.cutOff(r.launch, r.ended)
	}
	return r.refused() && (r.waits || l.server.cutOff(r.launch, r.ended))
}

// weather is what happened to the server in that time, for a finding.
func (s *stormServer) weather(from, to int64) (all []string) {
	s.during(from, to, func(o stormOutage) bool {
		all = append(all, fmt.Sprintf("%s from %d to %d", o.what, o.from, o.to))
		return false
	})
	return all
}

// passedOver: a waiter gives a sign of life every third of the TTL. One that comes
// late because of the server may find that others were served first.
func (s *stormServer) passedOver(from, to int64) bool {
	return s.during(from, to, func(o stormOutage) bool {
		return time.Duration(o.to-o.from) > s.passes-stormTTL/3-stormLate
	})
}

// stormLate is how late a timer may be on a machine that is busy.
const stormLate = 200 * time.Millisecond

// over is when nothing of a run may be seen any more.
func (l *stormLog) over(r *stormRun) int64 {
	switch {
	case r.gone == 0:
		return never
	case l.server != nil && r.leftLease():
		return r.gone + int64(l.server.frees+stormSlack)
	}
	return r.gone
}

// leftLease: its berth may have ended without giving anything back. How one
// inside another ended is known only as far as the job around it lived to tell.
func (r *stormRun) leftLease() bool {
	if r.parent != "" {
		end := r.record("inner")
		return end == nil || end.Code == 128+9 || end.Code == codeFailed
	}
	return r.killed || r.refused()
}

// refused: it gave up for want of a server, and could tell that server nothing of it.
func (r *stormRun) refused() bool {
	return r.exit == codeFailed && stormUnreachable.MatchString(r.said)
}

// mayLose: a lease is lost only by who could not renew it. That is tried every third
// of the TTL, and the job is ended when somewhat more than a third is left.
func (l *stormLog) mayLose(r *stormRun) bool {
	return l.server != nil && r.got(true, syscall.SIGSTOP) ||
		l.server.during(r.launch, r.ended, func(o stormOutage) bool { return time.Duration(o.to-o.from) > stormTTL/6 })
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
