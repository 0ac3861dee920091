package lease

import (
	"fmt"
	"slices"
	"time"

	"berth/lease/clock"
)

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
	Ahead  int    `json:"ahead"` // that of PoolState
	// After, when Paced or Recovering, is the time until another verdict is possible, and
	// Pace the one that decides it.
	After time.Duration `json:"after_ns,omitempty"`
	Pace  Pace          `json:"pace,omitzero"`
	// Own are the pool's settings.
	Own Settings `json:"own,omitzero"`
	// Gates, when Gated, are those to be asked. Last is when the last start was, and
	// SinceStart the time from then to now, negative when none is known.
	Gates      []string      `json:"gates,omitempty"`
	Last       clock.Instant `json:"last_ns,omitempty"`
	SinceStart time.Duration `json:"since_start_ns,omitempty"`
	// Why is what the gates said to the last request that asked them.
	Why string `json:"why,omitempty"`
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
		return fmt.Sprintf("no new job starts for %v: the store is new or was restarted, and jobs that it may have forgotten register again", rounded(v.After))
	case Paced:
		return fmt.Sprintf("too soon after the last start (%v), for %v more", v.Pace, rounded(v.After))
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

func rounded(d time.Duration) time.Duration {
	if d > 10*time.Second {
		return d.Round(time.Second)
	}
	return d.Round(time.Millisecond)
}

// Clearance proves that these gates were open at At. It is valid for one start, until
// another job of the pool starts, and for ClearanceTTL at most.
type Clearance struct {
	Gates []string
	Last  clock.Instant // the last start that the gates saw: Verdict.Last
	At    clock.Instant // when the gates began to be asked, on the store's clock
}

// ClearanceTTL bounds how long gates may take to answer. A process that was frozen since
// they were asked knows nothing of the machine any more.
const ClearanceTTL = 15 * time.Second

func (c Clearance) holds(s PoolState, gates string) bool {
	return slices.Contains(c.Gates, gates) && c.Last == s.Starts.Last && s.Clock.Sub(c.At) <= ClearanceTTL
}
