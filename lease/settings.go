package lease

import "time"

// Conditions must hold besides the limit before a request may start: those of the request
// itself, and on top of them those of its pool.
type Conditions struct {
	// Gates are conditions of the machine; "": none. A store keeps the words and
	// has them asked (see Gated), and does not know what they mean.
	Gates string `json:"gates,omitempty"`
	// MinSlots: with fewer slots in use these gates are not asked, and Ramp does
	// not hold.
	MinSlots int `json:"min_slots,omitempty"`
	// Ramp is the least time between any two starts in the pool; Rate lets them
	// come in bursts.
	Ramp time.Duration `json:"ramp_ns,omitempty"`
	Rate Pace          `json:"rate,omitzero"`
	// Need is what the job is declared to use: its own word, or else its pool's.
	Need Need `json:"need,omitzero"`
}

// None reports whether there are no conditions.
func (c Conditions) None() bool { return c == Conditions{} }

// Need is a declared use. The gates set it aside until the job's tree uses it.
type Need struct {
	Mem uint64  `json:"mem,omitempty"` // bytes
	CPU float64 `json:"cpu,omitempty"` // CPUs
}

// Needs is what the job of r is taken to use: its own word, or else its pool's.
func (r Request) Needs(own Settings) Need {
	if r.Need != (Need{}) {
		return r.Need
	}
	return own.Need
}

// Settings are a pool's own: every request keeps to them.
type Settings struct {
	Limit *int `json:"limit,omitempty"` // nil: none; 0: no new job starts
	Conditions
	// Names are those of the slots from 0; nil: they have none. A pool with names has a limit,
	// which is no greater than their number.
	Names []string `json:"names,omitempty"`
	// SetBy and SetAt say who has set the limit (or, without one, the conditions) and
	// when, and Reason why: for people. A berth that does not know these fields loses
	// only them.
	SetBy  string    `json:"set_by,omitempty"`
	SetAt  time.Time `json:"set_at,omitzero"`
	Reason string    `json:"reason,omitempty"`
	// UID is the user who set them, -1 when that is not known: no user runs a command
	// that another user has set.
	UID int `json:"-"`
}

// NamesOf are the names of these slots, nil if the pool does not name its slots.
func (s Settings) NamesOf(slots []int) (names []string) {
	for _, i := range slots {
		if i < len(s.Names) {
			names = append(names, s.Names[i])
		}
	}
	return names
}

// None reports whether the pool has no settings of its own.
func (s Settings) None() bool { return s.Limit == nil && s.Conditions.None() }
