package main

import "fmt"

// Kept leases: a keeper holds the slots, and adopters run something under its lease. There is
// one keeper.

// kept is whether a kept lease is recorded anywhere.
func (s *S) kept() bool { return s.firstKept() >= 0 }

// firstKept is the first slot of the kept lease, -1 if there is none.
func (s *S) firstKept() int {
	for i := 0; i < c.N; i++ {
		if r := s.g.rec[i]; r != 0 && c.keeper[r-1] {
			return i
		}
	}
	return -1
}

// whole: all slots of the kept lease in slot i have its record.
func (s *S) whole(i int) bool {
	r, n := s.g.rec[i], 0
	for k := 0; k < c.N; k++ {
		if s.g.rec[k] == r {
			n++
		}
	}
	return n == c.weight[r-1]
}

// adoptionState is what the record of the lease in slot i and /proc tell.
func (s *S) adoptionState(i int) string {
	by := s.g.by[i]
	switch {
	case by == 0, mut("noadopter"):
		return "no"
	case s.p[by-1].pc != GONE, s.g.byChild[i] != 0 && s.runs(int(by-1)):
		return "yes"
	case s.g.byChild[i] != 0:
		return "no"
	case s.startedBy(int(by - 1)):
		return "yes"
	case mut("notalone"):
		return "no"
	}
	return "unclear"
}

// kept is what a keeper and an adopter do.
func (x *step) kept() {
	s, p, q := x.s, x.p, x.q
	n := &x.n
	m, g := &n.p[p], &n.g
	switch q.pc {
	case KEEP: // a heartbeat clears what a killed adopter has left
		i := s.firstKept()
		if i >= 0 && g.lock == 0 && s.adoptionState(i) == "unclear" && g.shared[i] == 1<<p && !mut("nosettle") {
			n.clearBy()
			x.emit(n, "settles what a killed adopter has left")
		}
	case KCHECK:
		i := s.firstKept()
		state := "no"
		if i >= 0 {
			state = s.adoptionState(i)
		}
		if state == "unclear" && g.shared[i] == 1<<p && !mut("nosettle") {
			n.clearBy()
			state = "no"
		}
		if state != "no" {
			m.pc = UNLOCK
			x.emit(n, "is adopted")
			return
		}
		m.pc, m.vi, m.it = RLMARK, 0, 0
		x.emit(n, "is not adopted")
	case AFIND:
		i := s.firstKept()
		m.pc = UNLOCK
		if i < 0 || g.mLim[i] == 0 || !s.locked(i) && !s.orphan(i) || !s.whole(i) {
			x.emit(n, "finds no lease")
			return
		}
		state := s.adoptionState(i)
		if state == "yes" || state == "unclear" && s.locked(i) {
			x.emit(n, "finds it adopted")
			return
		}
		m.pc, m.vi = ALOCK, 0
		x.emit(n, "finds the lease")
	case ALOCK:
		i := int(q.vi)
		for i < c.N && (g.rec[i] == 0 || !c.keeper[g.rec[i]-1]) {
			i++
		}
		if i < c.N {
			if !mut("notshared") {
				g.shared[i] |= 1 << p
				m.has |= 1 << i
			}
			if g.mLim[i] == 0 && !mut("nomark") {
				g.mLim[i] = noLimit
			}
			m.it |= 1 << i
			m.vi = uint8(i + 1)
			x.emit(n, fmt.Sprintf("locks slot %d, too", i))
			return
		}
		m.pc, m.vi = AWRITE, uint8(c.N)
		procSucc(n, p, x.out)
	case AWRITE:
		if i := x.last(q.it); i >= 0 {
			if !mut("norecord") {
				g.by[i], g.byChild[i] = uint8(p+1), 0
			}
			x.emit(n, fmt.Sprintf("records itself in slot %d", i))
			return
		}
		set(m, fGot)
		m.pc, m.vi = SAVE, 0
		procSucc(n, p, x.out)
	case AFORK:
		m.child, m.childHas = 1, m.has
		m.f |= fPre
		m.pc, m.vi = ARUN, uint8(c.N)
		m.it = s.recorded(p)
		n.jobs("fork under a lease")
		x.emit(n, "FORKS its child under the lease")
	case ARUN:
		if q.f&fPre != 0 {
			return // the fork returns when the child has become its command
		}
		if i := x.last(q.it); i >= 0 {
			g.byChild[i] = 1
			x.emit(n, fmt.Sprintf("records its child in slot %d", i))
			return
		}
		m.pc, m.vi = AWAIT, 0
		procSucc(n, p, x.out)
	case AWAIT:
		if q.child == 3 || q.child == 5 || q.child == 6 {
			m.pc, m.vi = ACLEAR, uint8(c.N)
			procSucc(n, p, x.out)
		}
	case ACLEAR:
		if i := x.last(q.it); i >= 0 {
			g.by[i], g.byChild[i] = 0, 0
			x.emit(n, fmt.Sprintf("the end of the adoption: clears the record of slot %d", i))
			return
		}
		m.pc, m.vi = AWAKE, uint8(c.N)
		if mut("adopterwakeslate") {
			m.pc, m.vi = AUNLOCK, 0
		}
		procSucc(n, p, x.out)
	case AWAKE:
		if i := x.last(q.it); i >= 0 {
			n.fire(1 << i)
			x.emit(n, fmt.Sprintf("the end of the adoption: wakes the head for slot %d", i))
			return
		}
		m.pc, m.vi = AUNLOCK, 0
		if mut("adopterwakeslate") {
			m.pc = GONE
			n.tidy(p)
		}
		procSucc(n, p, x.out)
	case AUNLOCK:
		i := lowbit(q.has)
		if q.has == 0 {
			m.pc = GONE
			if mut("adopterwakeslate") {
				m.pc, m.vi = AWAKE, uint8(c.N)
			}
			n.tidy(p)
			x.emit(n, "exits")
			return
		}
		g.shared[i] &^= 1 << p
		m.pc, m.vi = ACLOSE, uint8(i)
		x.emit(n, fmt.Sprintf("the end of the adoption: unlocks slot %d", i))
	case ACLOSE:
		m.has &^= 1 << q.vi
		if m.childHas&(1<<q.vi) == 0 {
			n.fire(1 << q.vi)
		}
		m.pc, m.vi = AUNLOCK, 0
		x.emit(n, fmt.Sprintf("the end of the adoption: closes slot %d", q.vi))
	}
}

// last is the highest of these slots below vi, which it sets to that; -1: there is none.
func (x *step) last(slots uint8) int {
	m := &x.n.p[x.p]
	for i := int(x.q.vi) - 1; i >= 0; i-- {
		if slots&(1<<i) != 0 {
			m.vi = uint8(i)
			return i
		}
	}
	return -1
}

// recorded are the slots that p has adopted.
func (s *S) recorded(p int) (slots uint8) {
	for i := 0; i < c.N; i++ {
		if r := s.g.rec[i]; r != 0 && c.keeper[r-1] && (s.g.by[i] == uint8(p+1) || mut("norecord")) {
			slots |= 1 << i
		}
	}
	return slots
}

func (n *S) clearBy() {
	for i := 0; i < c.N; i++ {
		n.g.by[i], n.g.byChild[i] = 0, 0
	}
}

// followKept is followProcesses for a slot of the kept lease r.
func (s *S) followKept(m *Proc, i int, r uint8, locked bool) {
	by := s.g.by[i]
	if locked && by != 0 && s.p[by-1].pc != GONE && s.p[by-1].pc != DYING {
		return // it tells its end itself
	}
	switch {
	case mut("nofollow"):
	case s.p[r-1].pc == DYING:
		m.follows[i] = r
	case by != 0 && s.p[by-1].pc != GONE:
		m.follows[i] = by
	case by != 0 && s.g.byChild[i] != 0 && s.runs(int(by-1)):
		m.follows[i] = 16 + by
	case s.visible() != 0:
		m.follows[i] = 16 + s.visible()
	default:
		if m.over[i] != r {
			m.over[i] = r
			m.checks = 0
		}
		m.some |= 1 << i
		m.released |= 1 << i
	}
}

// startedBy: a process lives that the adopter p has started, by its environment.
func (s *S) startedBy(p int) bool {
	ch := s.p[p].child
	return s.p[p].f&fPre == 0 && ch != 0 && ch != 3
}

// visible is an adopter (p+1) whose child's environment shows the lease, 0 for none.
func (s *S) visible() uint8 {
	for i := 0; i < c.P; i++ {
		if c.adopter[i] && s.p[i].f&fPre == 0 && s.runs(i) {
			return uint8(i + 1)
		}
	}
	return 0
}

// judgeKept names what is wrong with a kept lease.
func (s *S) judgeKept(fast int) (kinds []string) {
	over := true // nothing runs under it, and no adopter is at work
	for p := 0; p < c.P; p++ {
		if !c.adopter[p] {
			continue
		}
		q := &s.p[p]
		over = over && (q.pc == START || q.pc == GONE) && (q.child == 0 || q.child == 3)
		for i := 0; i < c.N; i++ {
			// A slot that the child runs under is free, or another lease's.
			if q.child == 1 && q.it&(1<<i) != 0 && !s.locked(i) && !s.orphan(i) {
				kinds = append(kinds, "FREED: a slot is free under a living child")
			}
			if q.child == 1 && q.it&(1<<i) != 0 && s.g.lock == 0 && s.g.sLim[i] == 0 {
				kinds = append(kinds, "INDEX: says free, and a job runs there under a kept lease")
			}
		}
	}
	i := s.firstKept()
	if fast > 0 || !over || i < 0 || s.g.lock != 0 {
		return kinds
	}
	keeper := int(s.g.rec[i] - 1)
	if s.p[keeper].pc == KEEP && s.adoptionState(i) != "no" && !s.fl(keeper, fStopped) {
		kinds = append(kinds, "KEPT: it cannot be given back")
	}
	return kinds
}
