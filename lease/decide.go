package lease

import (
	"math"
	"time"

	"berth/lease/clock"
)

// PoolState is all that a decision needs to know of a pool.
type PoolState struct {
	Own  Settings
	Used int // slots in use
	// RequestedLimit is the smallest limit that a holder requests; 0: none does.
	RequestedLimit int
	// Ahead is above 0 when a waiter goes before the request. How many do is for people:
	// a store may stop counting at the first, or count those that are passed for now.
	Ahead  int
	Starts Starts
	Clock  clock.Instant // now, on the store's clock
	// RecoveringFor is the time in which holders may yet turn up that the store has
	// forgotten; 0: it knows all.
	RecoveringFor time.Duration
}

// Decide is the one rule for whether a request may start. The limit in force
// is the smallest that anyone alive requests. So mixed numbers never let more
// run than the most careful of them allows, no number outlives its holder, and
// the last caller does not win. A waiter's number counts only when it is its
// turn, else one that waits for 1 would drain a pool of 8 long before it can use it.
//
// Gates come last, because asking them takes time and reads the machine: only a
// request that would start now has them asked, and comes back with those that are
// open in clearance. Paces come before them, so that what they read includes the last start.
func Decide(s PoolState, r Request, clearance Clearance) Verdict {
	requested, own := r.LimitIn(s.Own.Limit), s.Own.Limit
	v := Verdict{Limit: Smallest(own, s.RequestedLimit, requested), Used: s.Used, Ahead: s.Ahead, Own: s.Own}
	switch {
	case requested > 0 && r.Weight > requested, own != nil && *own > 0 && r.Weight > *own:
		v.Reason = TooHeavy
		return v
	case s.Ahead > 0:
		v.Reason = Behind
		return v
	case v.Limit == 0:
		v.Reason = Drained
		return v
	case s.Used+r.Weight > v.Limit:
		v.Reason = Full
		return v
	case s.RecoveringFor > 0:
		v.Reason, v.After = Recovering, s.RecoveringFor
		return v
	}
	if v.After, v.Pace = s.Starts.Wait(s.Clock, paces(s.Used, s.Own.Conditions, r.Conditions)...); v.After > 0 {
		v.Reason = Paced
		return v
	}
	if v.Gates = gatesToAsk(s, r, clearance); v.Gates == nil {
		v.Reason = Ready
		return v
	}
	v.Reason, v.Last, v.SinceStart = Gated, s.Starts.Last, -1
	if v.Last > 0 && v.Last <= s.Clock {
		v.SinceStart = s.Clock.Sub(v.Last)
	}
	return v
}

// gatesToAsk are all gates that hold now, if one of them was not asked. They are asked
// together: in turn, each would find that the other's answer is no longer valid.
func gatesToAsk(s PoolState, r Request, clearance Clearance) (all []string) {
	missing := false
	for _, c := range []Conditions{s.Own.Conditions, r.Conditions} {
		if c.Gates != "" && s.Used >= c.MinSlots {
			all = append(all, c.Gates)
			missing = missing || !clearance.holds(s, c.Gates)
		}
	}
	if !missing {
		return nil
	}
	return all
}

// Paces are all that the request keeps to: its own and its pool's.
func (r Request) Paces(own Settings) []Pace { return paces(math.MaxInt, own.Conditions, r.Conditions) }

// paces are those that hold with so many slots in use. A ramp exists for the
// readings, and goes with the gates; a rate is a promise.
func paces(used int, conditions ...Conditions) (all []Pace) {
	for _, c := range conditions {
		if c.Ramp > 0 && used >= c.MinSlots {
			all = append(all, Pace{c.Ramp, 1})
		}
		if c.Rate.Every > 0 {
			all = append(all, c.Rate)
		}
	}
	return all
}

// LimitIn is the limit that r requests in a pool whose own limit is own; 0 when it leaves
// the limit to the pool.
func (r Request) LimitIn(own *int) int {
	switch {
	case r.Limit > 0:
		return r.Limit
	case own != nil:
		return 0
	default:
		return r.Fallback
	}
}

// Smallest returns the smallest of a pool's own limit and the requested ones, of which 0
// is none. It is 0 when the pool is drained, or there is no limit.
func Smallest(own *int, requested ...int) int {
	limit := 0
	for _, n := range requested {
		if n > 0 && (limit == 0 || n < limit) {
			limit = n
		}
	}
	if own != nil && (limit == 0 || *own < limit) {
		limit = *own
	}
	return limit
}

// Sum fills in Used, Limit and LimitBy from the holders and the pool's own limit.
func (p *Pool) Sum() {
	requested := 0
	for _, h := range p.Holders {
		p.Used += len(h.Lease.Slots)
		if n := h.Lease.RequestedLimit; n > 0 && (requested == 0 || n < requested) {
			requested, p.LimitBy = n, h.Lease.ID
		}
	}
	own := p.Own.Limit
	if own != nil && (requested == 0 || *own <= requested) {
		p.LimitBy = "pool"
	}
	if own != nil || requested > 0 {
		limit := Smallest(own, requested)
		p.Limit = &limit
	}
}

// State is the pool as Decide needs it, for a request with so many waiters ahead.
func (p *Pool) State(ahead int, now clock.Instant) PoolState {
	s := PoolState{Own: p.Own, Used: p.Used, Ahead: ahead, Starts: p.Starts, Clock: now, RecoveringFor: p.RecoveringFor}
	for _, h := range p.Holders {
		s.RequestedLimit = Smallest(nil, s.RequestedLimit, h.Lease.RequestedLimit)
	}
	return s
}
