package lease

import (
	"fmt"
	"math"
	"slices"
	"time"

	"berth/lease/clock"
)

// PoolState is all that a decision needs to know of a pool.
type PoolState struct {
	Own            Settings
	Used           int // slots in use
	RequestedLimit int // the smallest limit a holder asks for; 0: none of them does
	Ahead          int // waiters that go before the request, as far as they were counted
	Starts         Starts
	Clock          clock.Instant // now, on the store's clock
	// RecoveringFor is for how long yet holders may turn up that the store has
	// forgotten; 0: it knows all.
	RecoveringFor time.Duration
}

// Reason says why a request may or may not start.
type Reason string

const (
	Ready      Reason = "ready"
	Behind     Reason = "behind"    // others are before it in the line
	Full       Reason = "full"      // not enough slots are free
	Drained    Reason = "drained"   // the pool's own limit is 0
	Recovering Reason = "recovers"  // the store may have forgotten holders
	Paced      Reason = "paced"     // it is too soon after the last start
	Gated      Reason = "gated"     // its gates are to be asked, or were and are closed
	TooHeavy   Reason = "too heavy" // it could never start
)

// Verdict is a decision with its reason and the numbers that led to it.
type Verdict struct {
	Reason Reason `json:"reason"`
	Limit  int    `json:"limit"` // the limit in force for this request
	Used   int    `json:"used"`
	Ahead  int    `json:"ahead"`
	// After, when Paced or Recovers: so long from now it may be another, by that pace.
	After time.Duration `json:"after_ns,omitempty"`
	Pace  Pace          `json:"pace,omitzero"`
	// Own are the pool's settings.
	Own Settings `json:"own,omitzero"`
	// Gates, when Gated: those that are to be asked. Last is when the last start
	// was, and SinceStart from then to now, negative when none is known.
	Gates      []string      `json:"gates,omitempty"`
	Last       clock.Instant `json:"last_ns,omitempty"`
	SinceStart time.Duration `json:"since_start_ns,omitempty"`
	// Why is what the gates said: of whoever asked them.
	Why string `json:"why,omitempty"`
}

// Clearance are gates that were asked, and are open. It is good for one start and for
// AskedHolds: after another start, or an hour of being frozen, the machine is not
// what they read.
type Clearance struct {
	Gates []string
	Last  clock.Instant // the Verdict's
	At    clock.Instant // when the asking began, on the store's clock
}

// ClearanceTTL is how long gates may take to answer.
const ClearanceTTL = 15 * time.Second

func (a Clearance) holds(s PoolState, gates string) bool {
	return slices.Contains(a.Gates, gates) && a.Last == s.Starts.Last && s.Clock.Sub(a.At) <= ClearanceTTL
}

func (v Verdict) String() string {
	switch v.Reason {
	case Behind:
		return fmt.Sprintf("behind %d in the line", v.Ahead)
	case Full:
		return fmt.Sprintf("%d of %d in use", v.Used, v.Limit)
	case Drained:
		return "the pool's own limit is 0"
	case Recovering:
		return fmt.Sprintf("nobody new starts for %v: the store is new, or was restarted, and jobs that it may have forgotten show up meanwhile", roundly(v.After))
	case Paced:
		return fmt.Sprintf("too soon after the last start (%v), for %v more", v.Pace, roundly(v.After))
	case Gated:
		if v.Why != "" {
			return v.Why
		}
		return "its gates have not answered yet"
	case TooHeavy:
		return fmt.Sprintf("needs more slots than the limit of %d", v.Limit)
	}
	return string(v.Reason)
}

func roundly(d time.Duration) time.Duration {
	if d > 10*time.Second {
		return d.Round(time.Second)
	}
	return d.Round(time.Millisecond)
}

// LimitIn is the limit that r brings with it into a pool whose own limit is own;
// 0 when it leaves the limit to the pool.
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

// Decide is the one rule for whether a request may start. The limit in force
// is the smallest that anyone alive asks for: mixed numbers can so never let
// more run than the most careful of them allows, nobody's number outlives its
// holder, and the last caller does not win. A waiter's number counts only when
// it is its turn, else one that waits for 1 would drain a pool of 8 long
// before it can use it.
//
// Gates come last, for asking them takes time and reads the machine: only whoever
// would start now has them asked, and comes back with those that are open in
// asked. Paces come before them, so that what they read has the last start in it.
func Decide(s PoolState, r Request, asked Clearance) Verdict {
	ask := r.LimitIn(s.Own.Limit)
	own := s.Own.Limit
	v := Verdict{Limit: Smallest(own, s.RequestedLimit, ask), Used: s.Used, Ahead: s.Ahead, Own: s.Own}
	switch {
	case ask > 0 && r.Weight > ask, own != nil && *own > 0 && r.Weight > *own:
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
	// All that hold now are asked again when one of them is missing: asked in turn,
	// each would find the other one's answer gone.
	missing := false
	for _, t := range []Conditions{s.Own.Conditions, r.Conditions} {
		if t.Gates != "" && s.Used >= t.MinSlots {
			v.Gates = append(v.Gates, t.Gates)
			missing = missing || !asked.holds(s, t.Gates)
		}
	}
	if !missing {
		v.Reason, v.Gates = Ready, nil
		return v
	}
	v.Reason, v.Last, v.SinceStart = Gated, s.Starts.Last, -1
	if v.Last > 0 && v.Last <= s.Clock {
		v.SinceStart = s.Clock.Sub(v.Last)
	}
	return v
}

// Paces are all that the request keeps to: its own and its pool's.
func (r Request) Paces(own Settings) []Pace { return paces(math.MaxInt, own.Conditions, r.Conditions) }

// paces are those that hold with so many slots in use. A ramp is there for the
// readings, and goes with the gates; a rate is a promise.
func paces(used int, terms ...Conditions) (all []Pace) {
	for _, t := range terms {
		if t.Ramp > 0 && used >= t.MinSlots {
			all = append(all, Pace{t.Ramp, 1})
		}
		if t.Rate.Every > 0 {
			all = append(all, t.Rate)
		}
	}
	return all
}

// Needs is what the job of r is taken to use: its own word, or else its pool's.
func (r Request) Needs(own Settings) Need {
	if r.Need != (Need{}) {
		return r.Need
	}
	return own.Need
}

// Smallest returns the smallest of a pool's own limit and what is asked for,
// where an ask of 0 means none; 0 when the pool is drained or nobody says.
func Smallest(own *int, asks ...int) int {
	limit := 0
	for _, a := range asks {
		if a > 0 && (limit == 0 || a < limit) {
			limit = a
		}
	}
	if own != nil && (limit == 0 || *own < limit) {
		limit = *own
	}
	return limit
}

// Sum fills in Used, Limit and LimitBy from the holders and the pool's own limit.
func (p *Pool) Sum() {
	asked := 0
	for _, h := range p.Holders {
		p.Used += len(h.Lease.Slots)
		if l := h.Lease.RequestedLimit; l > 0 && (asked == 0 || l < asked) {
			asked, p.LimitBy = l, h.Lease.ID
		}
	}
	own := p.Own.Limit
	if own != nil && (asked == 0 || *own <= asked) {
		p.LimitBy = "pool"
	}
	if own != nil || asked > 0 {
		limit := Smallest(own, asked)
		p.Limit = &limit
	}
}
