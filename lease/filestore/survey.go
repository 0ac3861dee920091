//go:build unix

package filestore

import (
	"berth/lease"
)

// survey is which slots a look checks against their locks, and what it found of
// those that are not free. The zero value checks none.
type survey struct {
	all  bool
	some map[int]bool
	held map[int]slotState
}

func everySlot() *survey { return &survey{all: true} }

// begin forgets what was found before.
func (v *survey) begin() *survey {
	clear(v.held)
	return v
}

func (v *survey) checks(i int) bool { return v.all || v.some[i] }

func (v *survey) add(i int) {
	if v.some == nil {
		v.some = map[int]bool{}
	}
	v.some[i] = true
}

func (v *survey) note(i int, st slotState) {
	if v.held == nil {
		v.held = map[int]slotState{}
	}
	v.held[i] = st
}

// verify checks slots that the index has in use against their locks, and frees
// in the index those whose jobs are gone: their owners were killed. When none is
// left in use but such that cannot be judged, the first of these is returned:
// waiting for it could last for ever.
func (p *pool) verify(ix *index, v *survey) *lease.DamagedError {
	var bad *lease.DamagedError
	sound := false
	for i, limit := range ix.limits {
		if limit == 0 {
			continue
		}
		if !v.checks(i) {
			sound = true // as far as is known: it was looked at before
			continue
		}
		st := p.look(i)
		if st.err != nil && bad == nil {
			bad = &lease.DamagedError{Pool: p.name, Path: p.slotPath(i), Slot: i, Err: bare(st.err)}
		}
		if st.free() {
			ix.mark(i, 0)
		} else {
			v.note(i, st)
		}
		sound = sound || st.locked || st.orphan
	}
	if sound {
		return nil
	}
	return bad
}
