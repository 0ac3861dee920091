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
				if mut("norecheck") { // who wakes takes itself for the head
					m.pred, m.suspect = 0, 0
					set(m, fNil|fListed)
					m.change = g.sChange
				}
				x.emit(n, "wakes up: the one before is gone")
			}
			if g.slows > 0 {
				n3 := *s
				n3.g.slows--
				set(&n3.p[p], fSlow)
				n3.p[p].pc, n3.p[p].mode = LOCK, mTry
				x.out(Trans{n3, fmt.Sprintf("P%d: SLOW LOOK (45 s)", p), false, true})
			}
			return
		}
		if q.f&fWatch != 0 && q.held != 0 {
			expect(n, p)
			x.emit(n, "asks about the processes of what is in use")
			return
		}
		if q.f&fWatch == 0 {
			set(m, fWatch|fNil)
			m.fol, m.over = [2]uint8{}, [2]uint8{}
			m.suspect, m.again, m.events = 0, again, 0
			if mut("watchagain") {
				m.again = 0
			}
			m.pc, m.mode = LOCK, mTry
			if mut("watchnolook") {
				m.pc = WAIT
				m.suspect = 0
				clr(m, fNil)
			}
			x.emit(n, "adds its watch")
			return
		}
		if q.events != 0 {
			m.again = 0
			if mut("noagain") {
				m.again = again
			}
			if q.events&4 != 0 {
				set(m, fNil)
			}
			m.suspect |= q.events & 3
			m.events = 0
			m.pc, m.mode = LOCK, mTry
			x.emit(n, fmt.Sprintf("reads events %b", q.events))
			return
		}
		if !mut("noleaving") {
			for i := 0; i < c.N; i++ {
				if q.leave&(1<<i) != 0 && g.owner[i] == 0 {
					m.pc, m.mode = LOCK, mTry
					x.emit(n, fmt.Sprintf("looks again: slot %d was being given back", i))
					return
				}
			}
		}
		if q.again < again {
			if c.strictTime && q.again == again-1 && s.closingNow() {
				// 26 ms are enough for the kernel
			} else {
				m.again++
				m.pc, m.mode = LOCK, mTry
				x.emit(n, "looks again")
			}
		}
		if g.slows > 0 {
			n3 := *s
			n3.g.slows--
			set(&n3.p[p], fNil)
			n3.p[p].suspect = 0
			n3.p[p].pc, n3.p[p].mode = LOCK, mTry
			x.out(Trans{n3, fmt.Sprintf("P%d: SLOW LOOK (3 s)", p), false, true})
		}

	}
}

// expect follows the ends of the processes of slots that the last look found in use.
func expect(s *S, p int) {
	m := &s.p[p]
	for i := 0; i < c.N; i++ {
		if m.held&(1<<i) == 0 {
			continue
		}
		r := m.heldRec[i] & 15
		locked := m.heldRec[i]&16 == 0
		if r == 0 || locked && !s.ending(r) {
			continue
		}
		o := &s.p[r-1]
		switch {
		case mut("nofollow"):
		case o.pc == DYING:
			m.fol[i] = r
		case o.child == 1 || o.child == 2:
			m.fol[i] = 16 + r
		default:
			if m.over[i] != r {
				m.over[i] = r
				m.again = 0
			}
			m.suspect |= 1 << i
			m.leave |= 1 << i
		}
	}
	m.held, m.heldRec = 0, [2]uint8{}
}
