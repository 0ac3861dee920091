package main

import (
	"fmt"
)

// look takes the pool's lock, finds out whose turn it is and checks slots.
func (x *step) look() {
	s, p, q := x.s, x.p, x.q
	n := &x.n
	m, g := &n.p[p], &n.g
	switch q.pc {
	case LOCK:
		if g.lock != 0 {
			return
		}
		g.lock = uint8(p + 1)
		n.loadIndex()
		g.stopDuring = 0
		for i := 0; i < c.P; i++ {
			if n.fl(i, fStopped) {
				g.stopDuring |= 1 << i
			}
		}
		m.stage, m.tries = 0, 0
		clr(m, fAll|fSwept|fPassed|fSlept|fGot)
		l := "pool lock, reads index, for " + modeName[q.mode]
		switch q.mode {
		case mNew:
			if g.mLine == 0 {
				m.pc = DECIDE // ahead 0
			} else {
				m.pc, m.it, m.bpred = BEFORE, uint8(key(p, g.mSeq+1)), 0
			}
		case mTry:
			m.pc = NOTES
		case mJoin:
			m.seq = g.mSeq + 1
			g.mSeq++
			g.mLine++
			if _, k := n.lastBelow(1000); k > key(p, m.seq) {
				g.mChange++
			}
			m.pc = JSAVE
		case mLeave:
			m.pc = REMOVE
		case mRel:
			m.pc, m.vi = RLLOOK, 0
		case mAside:
			m.pc = SANOTE
		case mReturn:
			m.pc = RTNOTE
		case mSet:
			m.pc = SETPOKE
			if mut("setpokelate") {
				m.pc = SETWRITE
			}
		}
		x.emit(n, l)

	case NOTES:
		if q.f&fFile == 0 {
			viol(s, "TICKET-LOST: a live waiter's ticket was removed")
			return
		}
		m.pc = TURN
		// merged with turn: both only read what the pool lock protects
		turn(n, p)
		x.emit(n, "reads own ticket, turn()")
	case BEFORE:
		b, k := s.lastBelow(int(q.it))
		if b < 0 {
			m.pc, m.bpred = BEND, 0
			bend(n, p)
			x.emit(n, "before(): nobody (left) before")
			return
		}
		noted := s.fl(b, fNoted) || s.p[b].asideSelf&1 != 0
		frz := q.mode == mTry && q.f&(fSlow|fPassing) != 0
		switch {
		case s.ownLocked(b) && (frz || noted) && s.frozen(b):
			set(&n.p[b], fNoted)
			set(m, fPassed)
			m.it = uint8(k)
			x.emit(n, fmt.Sprintf("before(): passes the frozen %d", b))
		case s.ownLocked(b):
			m.bpred = uint8(b + 1)
			m.pc = BEND
			bend(n, p)
			x.emit(n, fmt.Sprintf("before(): %d stands before", b))
		case s.p[b].asideSelf&1 != 0 && s.aliveBerth(b), s.fl(b, fNoted) && s.aliveBerth(b):
			m.it = uint8(k)
			x.emit(n, fmt.Sprintf("before(): %d is kept", b))
		default:
			m.it = uint8(k)
			m.vi = uint8(b)
			if q.f&fSwept == 0 {
				if mut("sweeplate") {
					m.pc = SWEEP
				} else {
					g.mChange++
					m.pc = WILLREM
				}
				set(m, fSwept)
			} else {
				m.pc = SWEEP
			}
			x.emit(n, fmt.Sprintf("before(): %d is dead", b))
		}
	case WILLREM:
		n.saveIndex()
		m.pc = SWEEP
		x.emit(n, "saves index (change++)")
	case SWEEP:
		b := int(q.vi)
		if s.aliveBerth(b) && s.p[b].asideSelf == 0 {
			viol(s, "SWEPT-LIVE: a live waiter's ticket is swept")
		}
		clr(&n.p[b], fFile|fNoted)
		m.pc, m.vi = BEFORE, 0
		if mut("sweeplate") {
			g.mChange++ // noted only now, saved at the end
		}
		n.tidy(b)
		x.emit(n, fmt.Sprintf("unlinks the ticket of %d", b))

	case VERIFY:
		i := int(q.vi)
		for ; i < c.N; i++ {
			if g.mLim[i] == 0 || q.f&fAll == 0 && q.suspect&(1<<i) == 0 {
				continue
			}
			break
		}
		m.vi = uint8(i)
		if i >= c.N {
			m.vi = 0
			m.pc = DECIDE
			decide(n, p)
			x.emit(n, "verify done, decides")
			return
		}
		if g.owner[i] != 0 {
			m.vi++
			if q.mode == mTry {
				if g.rec[i] == 0 {
					m.leave |= 1 << i
				}
				m.held |= 1 << i
				m.heldRec[i] = g.rec[i]
			}
			x.emit(n, fmt.Sprintf("looks at slot %d: locked", i))
			return
		}
		g.owner[i] = uint8(17 + p)
		m.pc = LOOKING
		x.emit(n, fmt.Sprintf("looks at slot %d: locks it", i))
	case LOOKING:
		i := int(q.vi)
		g.owner[i] = 0
		m.vi++
		m.pc = VERIFY
		l := "free"
		if s.orphan(g.rec[i]) {
			l = "orphan"
			if q.mode == mTry {
				m.held |= 1 << i
				m.heldRec[i] = 16 + g.rec[i]
			}
		} else {
			g.mLim[i] = 0
		}
		x.emit(n, fmt.Sprintf("judges slot %d: %s; closes", i, l))
	}
}

func turn(n *S, p int) {
	m := &n.p[p]
	g := &n.g
	if m.f&fListed != 0 && m.change == g.mChange && m.f&(fPassing|fSlow) == 0 {
		if m.pred == 0 {
			startTake(n, p)
			return
		}
		if !n.fl(int(m.pred-1), fFile) {
			m.pred, m.suspect = 0, 0
			set(m, fNil)
			startTake(n, p)
			return
		}
	}
	m.pc, m.it, m.bpred = BEFORE, uint8(key(p, m.seq)), 0
	clr(m, fSwept|fPassed)
}

func bend(n *S, p int) {
	m := &n.p[p]
	g := &n.g
	left := n.tickets()
	if left != g.mLine && m.f&fSwept == 0 {
		g.mChange++
	}
	g.mLine = left
	if m.mode == mNew {
		if m.f&fSlept != 0 { // second pass: no result
			m.pc = DECIDE
			return
		}
		if m.bpred == 0 && g.mLine > 0 {
			set(m, fSlept)
			clr(m, fSwept|fPassed)
			m.pc, m.it = BEFORE, 250
			return
		}
		if m.bpred != 0 {
			// Behind: take() decides Behind, verify is not needed but for a limit; nothing is taken
			m.pc = SAVE
			m.bpred = 0
			return
		}
		m.pc = DECIDE
		return
	}
	if m.bpred == 0 && (m.pred != 0 || m.f&fListed == 0) {
		m.suspect = 0
		set(m, fNil)
	}
	set(m, fListed)
	m.change, m.pred = g.mChange, m.bpred
	clr(m, fPassing|fSlow)
	if m.f&fPassed != 0 {
		set(m, fPassing)
	}
	if m.bpred != 0 {
		m.pc = SAVE
		return
	}
	startTake(n, p)
}
