package main

import (
	"fmt"
)

// scan takes the pool's lock, finds out whose turn it is and checks slots.
func (x *step) scan() {
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
		clr(m, fCheckAll|fSwept|fPassedNow|fSecond|fGot)
		l := "pool lock, reads index, for " + modeName[q.mode]
		switch q.mode {
		case mNew:
			if g.mLine == 0 {
				m.pc = DECIDE // ahead 0
			} else {
				m.pc, m.it, m.bpred = SCAN, uint8(key(p, g.mSeq+1)), 0
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
			m.pc, m.vi = RLCHECK, 0
		case mAside:
			m.pc = SANOTE
		case mReturn:
			m.pc = RTNOTE
		case mBack:
			m.pc = KCHECK
		case mAdopt:
			m.pc = AFIND
		case mSet:
			m.pc = SETWAKE
			if mut("setwakelate") {
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
	case SCAN:
		b, k := s.lastBelow(int(q.it))
		if b < 0 {
			m.pc, m.bpred = SCANNED, 0
			scanned(n, p)
			x.emit(n, "scanLine(): nobody (left) before")
			return
		}
		noted := s.fl(b, fNoted) || s.p[b].asideSelf&1 != 0
		frz := q.mode == mTry && q.f&(fCheckFrozen|fPassed) != 0
		switch {
		case s.ownLocked(b) && (frz || noted) && s.frozen(b):
			set(&n.p[b], fNoted)
			set(m, fPassedNow)
			m.it = uint8(k)
			x.emit(n, fmt.Sprintf("scanLine(): passes the frozen %d", b))
		case s.ownLocked(b):
			m.bpred = uint8(b + 1)
			m.pc = SCANNED
			scanned(n, p)
			x.emit(n, fmt.Sprintf("scanLine(): %d stands before", b))
		case s.p[b].asideSelf&1 != 0 && s.aliveBerth(b), s.fl(b, fNoted) && s.aliveBerth(b):
			m.it = uint8(k)
			x.emit(n, fmt.Sprintf("scanLine(): %d is kept", b))
		default:
			m.it = uint8(k)
			m.vi = uint8(b)
			if q.f&fSwept == 0 {
				if mut("sweeplate") {
					m.pc = SWEEP
				} else {
					g.mChange++
					m.pc = ANNOUNCE
				}
				set(m, fSwept)
			} else {
				m.pc = SWEEP
			}
			x.emit(n, fmt.Sprintf("scanLine(): %d is dead", b))
		}
	case ANNOUNCE:
		n.saveIndex()
		m.pc = SWEEP
		x.emit(n, "saves index (change++)")
	case SWEEP:
		b := int(q.vi)
		if s.aliveBerth(b) && s.p[b].asideSelf == 0 {
			viol(s, "SWEPT-LIVE: a live waiter's ticket is swept")
		}
		clr(&n.p[b], fFile|fNoted)
		m.pc, m.vi = SCAN, 0
		if mut("sweeplate") {
			g.mChange++ // noted only now, saved at the end
		}
		n.tidy(b)
		x.emit(n, fmt.Sprintf("unlinks the ticket of %d", b))

	case CHECK:
		i := int(q.vi)
		for ; i < c.N; i++ {
			if g.mLim[i] == 0 || q.f&fCheckAll == 0 && q.some&(1<<i) == 0 {
				continue
			}
			break
		}
		m.vi = uint8(i)
		if i >= c.N {
			m.vi = 0
			m.pc = DECIDE
			decide(n, p)
			x.emit(n, "slots checked, decides")
			return
		}
		if n.locked(i) {
			m.vi++
			if q.mode == mTry {
				if g.rec[i] == 0 {
					m.released |= 1 << i
				}
				m.inUse |= 1 << i
				m.inUseRec[i] = g.rec[i]
			}
			x.emit(n, fmt.Sprintf("checks slot %d: locked", i))
			return
		}
		g.owner[i] = uint8(17 + p)
		m.pc = CHECKING
		x.emit(n, fmt.Sprintf("checks slot %d: locks it", i))
	case CHECKING:
		i := int(q.vi)
		g.owner[i] = 0
		m.vi++
		m.pc = CHECK
		l := "free"
		if s.orphan(i) {
			l = "orphan"
			if q.mode == mTry {
				m.inUse |= 1 << i
				m.inUseRec[i] = 16 + g.rec[i]
			}
		} else {
			g.mLim[i] = 0
		}
		x.emit(n, fmt.Sprintf("reads slot %d: %s; closes", i, l))
	}
}

func turn(n *S, p int) {
	m := &n.p[p]
	g := &n.g
	if m.f&fKnown != 0 && m.change == g.mChange && m.f&(fPassed|fCheckFrozen) == 0 {
		if m.pred == 0 {
			startTake(n, p)
			return
		}
		if !n.fl(int(m.pred-1), fFile) {
			m.pred, m.some = 0, 0
			set(m, fScanAll)
			startTake(n, p)
			return
		}
	}
	m.pc, m.it, m.bpred = SCAN, uint8(key(p, m.seq)), 0
	clr(m, fSwept|fPassedNow)
}

func scanned(n *S, p int) {
	m := &n.p[p]
	g := &n.g
	left := n.tickets()
	if left != g.mLine && m.f&fSwept == 0 {
		g.mChange++
	}
	g.mLine = left
	if m.mode == mNew {
		if m.f&fSecond != 0 { // second pass: no result
			m.pc = DECIDE
			return
		}
		if m.bpred == 0 && g.mLine > 0 {
			set(m, fSecond)
			clr(m, fSwept|fPassedNow)
			m.pc, m.it = SCAN, 250
			return
		}
		if m.bpred != 0 {
			// Behind: take() decides Behind, checkSlots is not needed but for a limit; nothing is taken
			m.pc = SAVE
			m.bpred = 0
			return
		}
		m.pc = DECIDE
		return
	}
	if m.bpred == 0 && (m.pred != 0 || m.f&fKnown == 0) {
		m.some = 0
		set(m, fScanAll)
	}
	set(m, fKnown)
	m.change, m.pred = g.mChange, m.bpred
	clr(m, fPassed|fCheckFrozen)
	if m.f&fPassedNow != 0 {
		set(m, fPassed)
	}
	if m.bpred != 0 || m.mode == mJoin { // a process that joins does not decide
		m.pc = SAVE
		return
	}
	startTake(n, p)
}
