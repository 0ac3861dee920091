package main

import (
	"fmt"
)

type Trans struct {
	s    S
	lab  string
	fast bool
	slow bool
}

var viol func(s *S, kind string)

func succ(s *S, emit func(Trans)) {
	for p := 0; p < c.P; p++ {
		procSucc(s, p, emit)
		childSucc(s, p, emit)
		envSucc(s, p, emit)
	}
}

func childSucc(s *S, p int, emit func(Trans)) {
	q := &s.p[p]
	lab := func(x string) string { return fmt.Sprintf("child%d: %s", p, x) }
	if q.f&fPre != 0 {
		n := *s
		clr(&n.p[p], fPre)
		emit(Trans{n, lab("execs its command (close-on-exec descriptors go)"), true, false})
		return
	}
	switch q.child {
	case 1:
		n := *s
		if c.daemon[p] {
			n.p[p].child = 5
			n.ended(uint8(17 + p))
		} else {
			n.p[p].child = 2
		}
		emit(Trans{n, lab("EXITS"), false, false})
		if c.closer[p] && q.childHas != 0 {
			s.closeOne(p, true, lab("closes inherited "), emit)
		}
	case 5:
		n := *s
		n.p[p].child = 6
		emit(Trans{n, lab("daemon EXITS"), false, false})
	case 2, 6:
		if q.childHas == 0 && q.closing == 0 {
			n := *s
			if n.p[p].child == 2 {
				n.ended(uint8(17 + p))
			}
			n.p[p].child = 3
			emit(Trans{n, lab("is a zombie now, or gone (Alive: no)"), true, false})
		} else if q.childHas != 0 {
			s.closeOne(p, true, lab("kernel closes "), emit)
		}
	}
	// second half of a last close: the lock goes
	if q.closing != 0 {
		for i := 0; i < c.N; i++ {
			if q.closing&(1<<i) != 0 {
				n := *s
				n.p[p].closing &^= 1 << i
				if n.g.owner[i] == uint8(p+1) {
					n.g.owner[i] = 0
				}
				n.g.shared[i] &^= 1 << p
				emit(Trans{n, fmt.Sprintf("kernel: lock of slot %d (lease of %d) goes with its last close", i, p), true, false})
			}
		}
	}
}

// closeOne: one holder of the slot's open file closes it. The last: the event first, the lock later.
func (s *S) closeOne(p int, child bool, lab string, emit func(Trans)) {
	for i := 0; i < c.N; i++ {
		b := uint8(1 << i)
		q := &s.p[p]
		if child && q.childHas&b == 0 || !child && q.has&b == 0 {
			continue
		}
		n := *s
		m := &n.p[p]
		if child {
			m.childHas &^= b
		} else {
			m.has &^= b
		}
		l := fmt.Sprintf("%sslot %d", lab, i)
		if m.has&b == 0 && m.childHas&b == 0 {
			n.fire(b)
			l += " (last: event)"
			if n.g.owner[i] == uint8(p+1) || n.g.shared[i]&(1<<p) != 0 {
				m.closing |= b
			}
		}
		emit(Trans{n, l, true, false})
	}
}

func envSucc(s *S, p int, emit func(Trans)) {
	q := &s.p[p]
	if q.pc == START {
		// identical processes start in order
		if p > 0 && s.p[p-1].pc == START && same(p, p-1) {
			return
		}
		if c.adopter[p] && !s.kept() {
			return
		}
		n := *s
		n.p[p].pc = LOCK
		n.p[p].mode = mNew
		if c.adopter[p] {
			n.p[p].mode = mAdopt
		}
		if c.isSet[p] {
			n.p[p].mode = mSet
		}
		emit(Trans{n, fmt.Sprintf("P%d starts", p), false, false})
		return
	}
	if q.pc == GONE || q.pc == DYING {
		return
	}
	if s.g.kills > 0 {
		n := *s
		n.g.kills--
		m := &n.p[p]
		clr(m, fStopped|fWatch|fDeferred)
		m.pc = DYING
		m.events, m.bstate, m.blockedOn = 0, 0, 0
		m.released, m.inUse, m.inUseRec, m.follows, m.over = 0, 0, [2]uint8{}, [2]uint8{}, [2]uint8{}
		m.vi2(q)
		if mut("nochild") { // the child does not inherit
			m.childHas = 0
		}
		emit(Trans{n, fmt.Sprintf("KILL P%d (at %s)", p, pcName[q.pc]), false, false})
	}
	if q.pc == KEEP && q.f&fStopped == 0 {
		n := *s
		n.p[p].pc, n.p[p].mode = LOCK, mBack
		emit(Trans{n, fmt.Sprintf("P%d is to give its lease back", p), false, false})
	}
	if s.g.stops > 0 && q.f&fStopped == 0 {
		n := *s
		n.g.stops--
		set(&n.p[p], fStopped)
		n.g.stopDuring |= 1 << p
		emit(Trans{n, fmt.Sprintf("STOP P%d (at %s)", p, pcName[q.pc]), false, false})
	}
	if q.f&fStopped != 0 {
		n := *s
		clr(&n.p[p], fStopped)
		emit(Trans{n, fmt.Sprintf("CONT P%d", p), false, false})
	}
	if q.pc == WAIT && q.f&fStopped == 0 && s.g.leaves > 0 {
		n := *s
		n.g.leaves--
		n.p[p].pc, n.p[p].mode = LOCK, mLeave
		emit(Trans{n, fmt.Sprintf("P%d LEAVES the line (--wait is over)", p), false, false})
	}
	if q.pc == WAIT && q.f&fStopped == 0 && s.g.sets > 0 && !anySet() {
		n := *s
		n.g.sets--
		n.p[p].pc, n.p[p].mode = LOCK, mAside
		emit(Trans{n, fmt.Sprintf("P%d gets TSTP", p), false, false})
	}
}

// vi2 keeps, of a killed process, which slot its check had locked.
func (m *Proc) vi2(q *Proc) (uint8, uint8) {
	vi := uint8(0)
	if q.pc == CHECKING || q.pc == RLCHECKING {
		vi = q.vi + 1
	}
	m.stage, m.tries, m.bpred = 0, 0, 0
	m.vi = vi
	return 0, vi
}
