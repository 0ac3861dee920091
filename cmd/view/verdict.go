package view

import (
	"time"

	"berth/lease"
	"berth/lease/clock"
)

// verdict is what would be decided now, with what the gates last said to this request or, a
// moment ago, to another.
func verdict(p *lease.Pool, r lease.Request, ahead int, now clock.Instant) lease.Verdict {
	v := lease.Decide(p.State(ahead, now), r, lease.Clearance{})
	if p.Report != nil && p.Report.By == r.ID {
		v.Why = p.Report.Why
	} else {
		v.Why = WhyOfHead(p, now)
	}
	return v
}

// staleReport is the age at which a report of the first waiter is out of date. It is repeated
// every second.
const staleReport = 3 * time.Second

// WhyOfHead is which gates hold back the first waiter, "" if none do.
func WhyOfHead(p *lease.Pool, now clock.Instant) string {
	if p.Report == nil || now.Sub(p.Report.At) > staleReport {
		return ""
	}
	return p.Report.Why
}
