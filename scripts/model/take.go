package main

import (
	"fmt"
)

// take decides and takes slots, or a place in the line.
func (x *step) take() {
	s, p, q := x.s, x.p, x.q
	n := &x.n
	m, g := &n.p[p], &n.g
	switch q.pc {
	case DECIDE:
		decide(n, p)
		x.emit(n, "decides")
	case GRANT:
		i := int(q.vi)
		for i < c.N && g.mLim[i] != 0 {
			i++
		}
		if i >= c.N {
			viol(s, "MODEL: more slots needed")
			return
		}
		fail := func(asks uint8, l string) {
			n.fire(1 << i)
			g.mLim[i] = asks
			for j := 0; j < c.N; j++ { // revoke: close without a word
				if m.has&(1<<j) != 0 {
					m.has &^= 1 << j
					g.owner[j], g.rec[j] = 0, 0
					g.shared[j] &^= 1 << p
					g.mLim[j] = 0
					n.fire(1 << j)
				}
			}
			m.tries++
			set(m, fCheckAll)
			m.vi, m.pc = 0, CHECK
			x.emit(n, fmt.Sprintf("grant: slot %d %s", i, l))
		}
		if n.locked(i) {
			fail(noLimit, "is locked after all")
			return
		}
		if s.orphan(i) {
			a := c.ask[g.rec[i]-1]
			if a == 0 {
				a = noLimit
			}
			fail(uint8(a), "is an orphan's")
			return
		}
		g.owner[i] = uint8(p + 1)
		if c.keeper[p] { // made a shared one at once: no other process tries the lock now
			g.owner[i], g.shared[i] = 0, g.shared[i]|1<<p
		}
		m.has |= 1 << i
		mk := c.ask[p]
		if mk == 0 {
			mk = noLimit
		}
		g.mLim[i] = uint8(mk)
		m.vi = uint8(i + 1)
		if bits(m.has) == c.weight[p] {
			g.mTok++
			m.pc, m.vi = WLEASE, 0
			// FIRST COME: no process that lives, runs and stands before us
			for o := 0; o < c.P; o++ {
				if o == p || !s.fl(o, fFile) || !s.fl(o, fOwn) || !s.aliveBerth(o) || g.stopDuring&(1<<o) != 0 || s.p[o].asideSelf != 0 {
					continue
				}
				if s.p[o].pc == LOCK && (s.p[o].mode == mLeave || s.p[o].mode == mAside) || s.p[o].pc == SAUNLOCK {
					continue
				}
				if q.mode == mNew && c.prio[o] <= c.prio[p] || q.mode == mTry && key(o, s.p[o].seq) < key(p, q.seq) {
					viol(n, fmt.Sprintf("OVERTAKES: P%d overtakes P%d", p, o))
				}
			}
		}
		x.emit(n, fmt.Sprintf("grant: locks slot %d", i))
	case WLEASE:
		for j := 0; j < c.N; j++ {
			if m.has&(1<<j) != 0 && g.rec[j] != uint8(p+1) {
				g.rec[j], g.by[j], g.byChild[j] = uint8(p+1), 0, 0
				x.emit(n, fmt.Sprintf("writes the lease into slot %d", j))
				return
			}
		}
		set(m, fGot)
		if q.mode == mTry {
			m.pc = REMOVE
		} else {
			m.pc = SAVE
		}
		// no step of its own
		procSucc(n, p, x.out)
	case REMOVE:
		if q.f&fKnown == 0 || q.pred != 0 || q.f&fPassed != 0 || q.change != g.mChange {
			if !mut("removelate") {
				g.mChange++
				m.pc = REMSAVE
				n2 := *n
				n2.saveIndex()
				n2.p[p].pc = UNLINK
				x.emit(&n2, "saves index (change++) before it removes its ticket")
				return
			}
			g.mChange++
		}
		m.pc = UNLINK
		procSucc(n, p, x.out)
	case UNLINK:
		if m.f&fFile != 0 {
			clr(m, fFile|fNoted)
			if g.mLine > 0 {
				g.mLine--
			}
		}
		m.pc = TUNLOCK
		if mut("ticketlate") && q.f&fGot != 0 {
			m.pc = SAVE
		}
		x.emit(n, "unlinks its ticket")
	case TUNLOCK:
		clr(m, fOwn)
		m.pc = SAVE
		x.emit(n, "unlocks its ticket")
	case SAVE:
		if mut("nosave") && q.f&fGot != 0 {
			// the mark is saved only after the child has started: never, here
			g.mLim = g.sLim
		}
		n.saveIndex()
		m.pc = UNLOCK
		x.emit(n, "saves index")
	case UNLOCK:
		g.lock = 0
		n.clearMem()
		clr(m, fCheckAll|fSwept|fPassedNow|fSecond)
		m.it, m.vi, m.bpred, m.stage, m.tries = 0, 0, 0, 0, 0
		l := "unlocks the pool"
		switch q.mode {
		case mNew:
			if q.f&fGot != 0 {
				n.granted(p, s)
			} else {
				m.pc, m.mode = LOCK, mJoin
				l += "; joins the line next"
			}
		case mTry:
			if q.f&fGot != 0 {
				if m.f&(fWatch|fOwn) != 0 {
					set(m, fDeferred)
				}
				n.granted(p, s)
			} else {
				m.startWait()
			}
		case mJoin:
			n2 := *n // with a key, or no verdict before: it tries first
			n2.p[p].pc, n2.p[p].mode = LOCK, mTry
			x.emit(&n2, l+"; tries at once")
			m.startWait()
		case mLeave:
			m.pc = GONE
			n.tidy(p)
		case mRel, mSet:
			m.pc = GONE
			if q.mode == mSet && mut("setwakelate") {
				m.pc = SETWAKE
			}
			n.tidy(p)
		case mBack:
			m.pc = KEEP
			if m.has == 0 {
				m.pc = GONE
				n.tidy(p)
			}
		case mAdopt:
			m.pc = GONE
			if q.f&fGot != 0 {
				m.pc = AFORK
			}
			n.tidy(p)
		case mAside:
			m.pc = SASTOP
		case mReturn:
			m.pc, m.mode = LOCK, mTry
		}
		clr(m, fGot)
		x.emit(n, l)

	case JSAVE:
		if !mut("countlate") {
			n.saveIndex()
		}
		m.pc = JCREATE
		x.emit(n, "saves index (line++, ticket++)")
	case JCREATE:
		set(m, fFile)
		m.pc = JTRYLOCK
		x.emit(n, fmt.Sprintf("creates its ticket, number %d", q.seq))
	case JTRYLOCK:
		set(m, fOwn)
		m.pc, m.it, m.bpred = SCAN, uint8(key(p, m.seq)), 0
		clr(m, fGot|fSwept|fPassedNow)
		x.emit(n, "locks its ticket, writes it")

	}
}

func (m *Proc) startWait() {
	m.pc = WAIT
	if m.pred != 0 { // waitBehind
		clr(m, fWatch)
		m.events = 0
		m.released, m.inUse, m.inUseRec, m.follows, m.over = 0, 0, [2]uint8{}, [2]uint8{}, [2]uint8{}
		if m.blockedOn != m.pred {
			m.blockedOn, m.bstate = m.pred, 1
		}
	}
}

func startTake(n *S, p int) {
	m := &n.p[p]
	m.pc, m.vi, m.stage = CHECK, 0, 1
	m.released, m.inUse, m.inUseRec = 0, 0, [2]uint8{}
	clr(m, fCheckAll)
	if m.f&fScanAll != 0 {
		set(m, fCheckAll)
	}
}

func decide(n *S, p int) {
	m := &n.p[p]
	g := &n.g
	m.bpred, m.it = 0, 0
	used, asked := n.used()
	ask := n.askOf(p)
	limit := smallest(g.own, asked, ask)
	ready := limit > 0 && used+c.weight[p] <= limit
	full := limit > 0 && !ready
	if m.mode == mNew && m.stage == 0 {
		m.stage = 1
		if full || limit < smallest(g.own, ask) {
			set(m, fCheckAll)
			m.pc, m.vi = CHECK, 0
			return
		}
	}
	if ready && int(m.tries) <= c.N+c.weight[p] {
		m.pc, m.vi = GRANT, 0
		return
	}
	if m.mode == mTry { // onChecked()
		if m.f&fWatch != 0 && m.checks >= again {
			m.some = m.released
			clr(m, fScanAll)
		}
	}
	m.pc = SAVE
}

func (n *S) granted(p int, s *S) {
	m := &n.p[p]
	if s.g.mTok <= n.g.lastTok {
		viol(n, "TOKEN: not above the last one")
	}
	n.g.lastTok = s.g.mTok
	clr(m, fKnown|fPassed|fCheckFrozen|fScanAll)
	m.change, m.pred, m.some, m.checks, m.blockedOn, m.bstate, m.it = 0, 0, 0, 0, 0, 0, 0
	m.released, m.inUse, m.inUseRec, m.follows, m.over = 0, 0, [2]uint8{}, [2]uint8{}, [2]uint8{}
	m.pc = FORK
	if c.exec[p] {
		m.pc = EXECVE
	}
	if c.keeper[p] {
		m.pc = KEEP
	}
}
