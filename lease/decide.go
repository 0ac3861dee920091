package lease

import "fmt"

// PoolState is all that a decision needs to know of a pool.
type PoolState struct {
	Own   *int // the pool's own limit; nil: none, 0: nobody new
	Used  int  // slots in use
	Asked int  // the smallest limit a holder asks for; 0: none of them does
	Ahead int  // waiters that go before the request, as far as they were counted
}

// Reason says why a request may or may not start.
type Reason string

const (
	Ready    Reason = "ready"
	Behind   Reason = "behind"    // others are before it in the line
	Full     Reason = "full"      // not enough slots are free
	Drained  Reason = "drained"   // the pool's own limit is 0
	TooHeavy Reason = "too heavy" // it could never start
)

// Verdict is a decision with its reason and the numbers that led to it.
type Verdict struct {
	Reason Reason `json:"reason"`
	Limit  int    `json:"limit"` // the limit in force for this request
	Used   int    `json:"used"`
	Ahead  int    `json:"ahead"`
}

func (v Verdict) String() string {
	switch v.Reason {
	case Behind:
		return fmt.Sprintf("behind %d in the line", v.Ahead)
	case Full:
		return fmt.Sprintf("%d of %d in use", v.Used, v.Limit)
	case Drained:
		return "the pool's own limit is 0"
	case TooHeavy:
		return fmt.Sprintf("needs more slots than the limit of %d", v.Limit)
	}
	return string(v.Reason)
}

// Ask is the limit that r brings with it into a pool whose own limit is own;
// 0 when it leaves the limit to the pool.
func (r Request) Ask(own *int) int {
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
func Decide(s PoolState, r Request) Verdict {
	ask := r.Ask(s.Own)
	v := Verdict{Limit: Smallest(s.Own, s.Asked, ask), Used: s.Used, Ahead: s.Ahead}
	switch {
	case ask > 0 && r.Weight > ask, s.Own != nil && *s.Own > 0 && r.Weight > *s.Own:
		v.Reason = TooHeavy
	case s.Ahead > 0:
		v.Reason = Behind
	case v.Limit == 0:
		v.Reason = Drained
	case s.Used+r.Weight > v.Limit:
		v.Reason = Full
	default:
		v.Reason = Ready
	}
	return v
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
