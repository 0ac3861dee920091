package main

import (
	"fmt"
)

// wait sleeps: behind others in flock, as the head on events.
func (x *step) wait() {
	s, p, q := x.s, x.p, x.q
	n := &x.n
	m, g := &n.p[p], &n.g
	switch q.pc {
	case WAIT:
		if q.pred != 0 {
			if q.bstate == 3 && q.blockedOn == q.pred {
				m.blockedOn, m.bstate = 0, 0
				m.pc, m.mode = LOCK, mTry
				if mut("norecheck") { // a process that wakes takes itself for the head
					m.pred, m.some = 0, 0
					set(m, fScanAll|fKnown)
					m.change = g.sChange
				}
				x.emit(n, "wakes up: the one before is gone")
			}
			if g.slows > 0 {
				n3 := *s
				n3.g.slows--
				set(&n3.p[p], fCheckFrozen)
				n3.p[p].pc, n3.p[p].mode = LOCK, mTry
				x.out(Trans{n3, fmt.Sprintf("P%d: SLOW CHECK (45 s)", p), false, true})
			}
			return
		}
		if q.f&fWatch != 0 && q.inUse != 0 {
			followProcesses(n, p)
			x.emit(n, "asks about the processes of what is in use")
			return
		}
		if q.f&fWatch == 0 {
			set(m, fWatch|fScanAll)
			m.follows, m.over = [2]uint8{}, [2]uint8{}
			m.some, m.checks, m.events = 0, again, 0
			if mut("watchagain") {
				m.checks = 0
			}
			m.pc, m.mode = LOCK, mTry
			if mut("watchnolook") {
				m.pc = WAIT
				m.some = 0
				clr(m, fScanAll)
			}
			x.emit(n, "adds its watch")
			return
		}
		if q.events != 0 {
			m.checks = 0
			if mut("noagain") {
				m.checks = again
			}
			if q.events&4 != 0 {
				set(m, fScanAll)
			}
			m.some |= q.events & 3
			m.events = 0
			m.pc, m.mode = LOCK, mTry
			x.emit(n, fmt.Sprintf("reads events %b", q.events))
			return
		}
		if !mut("nodraining") {
			for i := 0; i < c.N; i++ {
				if q.released&(1<<i) != 0 && !n.locked(i) {
					m.pc, m.mode = LOCK, mTry
					x.emit(n, fmt.Sprintf("checks again: slot %d was being given back", i))
					return
				}
			}
		}
		if q.checks < again {
			if c.strictTime && q.checks == again-1 && s.closingNow() {
				// 26 ms are enough for the kernel
			} else {
				m.checks++
				m.pc, m.mode = LOCK, mTry
				x.emit(n, "checks again")
			}
		}
		if g.slows > 0 {
			n3 := *s
			n3.g.slows--
			set(&n3.p[p], fScanAll)
			n3.p[p].some = 0
			n3.p[p].pc, n3.p[p].mode = LOCK, mTry
			x.out(Trans{n3, fmt.Sprintf("P%d: SLOW CHECK (3 s)", p), false, true})
		}

	}
}

// followProcesses follows the ends of the processes of slots that the last check found in use.
func followProcesses(s *S, p int) {
	m := &s.p[p]
	for i := 0; i < c.N; i++ {
		if m.inUse&(1<<i) == 0 {
			continue
		}
		r := m.inUseRec[i] & 15
		locked := m.inUseRec[i]&16 == 0
		if r == 0 || locked && !s.ending(r) {
			continue
		}
		if c.keeper[r-1] {
			s.followKept(m, i, r, locked)
			continue
		}
		o := &s.p[r-1]
		switch {
		case mut("nofollow"):
		case o.pc == DYING:
			m.follows[i] = r
		case o.child == 1 || o.child == 2:
			m.follows[i] = 16 + r
		default:
			if m.over[i] != r {
				m.over[i] = r
				m.checks = 0
			}
			m.some |= 1 << i
			m.released |= 1 << i
		}
	}
	m.inUse, m.inUseRec = 0, [2]uint8{}
}
