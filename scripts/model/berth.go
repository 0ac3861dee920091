package main

import (
	"fmt"
)

// step is one step of the berth p from the state s; n is where it leads to.
type step struct {
	s   *S
	n   S
	p   int
	q   *Proc
	out func(Trans)
}

func (x *step) emit(n *S, label string) {
	x.out(Trans{*n, fmt.Sprintf("P%d: %s", x.p, label), true, false})
}

// procSucc are the steps that a berth itself can take, its dying included.
func procSucc(s *S, p int, emit0 func(Trans)) {
	q := &s.p[p]
	if q.pc == START || q.pc == GONE {
		return
	}
	x := &step{s: s, p: p, q: q, out: emit0}
	emit := func(n S, l string) { x.emit(&n, l) }
	if q.pc == DYING {
		if s.g.lock == uint8(p+1) && !(c.lifo && (q.has != 0 || q.vi != 0 || q.closing != 0)) {
			n := *s
			n.g.lock = 0
			n.clearMem()
			emit(n, "kernel drops its pool lock")
		}
		if q.f&fOwn != 0 {
			n := *s
			clr(&n.p[p], fOwn)
			emit(n, "kernel drops its ticket's lock")
		}
		if q.vi != 0 {
			n := *s
			n.g.owner[q.vi-1] = 0
			n.p[p].vi = 0
			emit(n, "kernel drops the lock of its check")
		}
		s.closeOne(p, false, fmt.Sprintf("P%d: kernel closes its ", p), emit0)
		if s.g.lock != uint8(p+1) && q.f&fOwn == 0 && q.vi == 0 && q.has == 0 {
			n := *s
			m := &n.p[p]
			m.pc = GONE
			n.tidy(p)
			n.ended(uint8(p + 1))
			emit(n, "is gone")
		}
		return
	}
	if q.f&fStopped != 0 {
		return
	}
	// head.close, deferred: a timer's goroutine
	if q.f&fDeferred != 0 {
		n := *s
		m := &n.p[p]
		clr(m, fDeferred|fWatch|fOwn)
		m.events = 0
		emit(n, "deferred: closes the watch")
	}
	// the goroutine blocked on the predecessor's ticket
	if q.blockedOn != 0 && q.bstate < 3 {
		b := int(q.blockedOn - 1)
		n := *s
		m := &n.p[p]
		if q.bstate == 1 {
			if !s.fl(b, fFile) {
				m.bstate = 3
				emit(n, fmt.Sprintf("opens ticket of %d: it is gone", b))
			} else {
				m.bstate = 2
				emit(n, fmt.Sprintf("opens ticket of %d and blocks in flock", b))
			}
		} else if !s.ownLocked(b) {
			m.bstate = 3
			emit(n, fmt.Sprintf("flock on ticket of %d returns", b))
		}
	}

	x.n = *s
	switch {
	case q.pc <= CHECKING:
		x.scan()
	case q.pc <= JTRYLOCK:
		x.take()
	case q.pc == WAIT:
		x.wait()
	case q.pc <= RLCHECKING:
		x.job()
	case q.pc >= KEEP:
		x.kept()
	default:
		x.line()
	}
}

// job is a job of its own: start, end, release.
func (x *step) job() {
	s, p, q := x.s, x.p, x.q
	n := &x.n
	m, g := &n.p[p], &n.g
	switch q.pc {
	case FORK:
		m.child = 1
		m.childHas = m.has
		if mut("nochild") {
			m.childHas = 0
		}
		m.f |= fPre
		m.pc = RUNWAIT
		n.jobs("fork")
		x.emit(n, "FORKS its child")
	case EXECVE:
		m.child = 1
		m.childHas, m.has = m.has, 0
		clr(m, fOwn|fWatch|fDeferred)
		m.pc = GONE
		n.tidy(p)
		n.jobs("exec")
		x.emit(n, "EXECS the command itself")
	case RUNWAIT:
		if q.child == 3 || q.child == 5 || q.child == 6 {
			m.vi = 0
			m.pc = RLMARK
			procSucc(n, p, x.out)
		}
	case RLMARK:
		i := int(q.vi)
		for i < c.N && q.has&(1<<i) == 0 {
			i++
		}
		if i < c.N {
			if g.owner[i] == uint8(p+1) || c.keeper[p] {
				g.rec[i], g.by[i], g.byChild[i] = 0, 0, 0
			}
			m.vi = uint8(i + 1)
			m.it |= 1 << i
			x.emit(n, fmt.Sprintf("release: marks slot %d free", i))
			return
		}
		m.pc, m.vi = RLWAKE, 0
		if mut("wakelate") {
			m.pc = RLUNLOCK
		}
		procSucc(n, p, x.out)
	case RLWAKE:
		i := int(q.vi)
		for i < c.N && q.it&(1<<i) == 0 {
			i++
		}
		if i < c.N {
			n.fire(1 << i)
			m.vi = uint8(i + 1)
			x.emit(n, fmt.Sprintf("release: wakes the head for slot %d", i))
			return
		}
		m.pc, m.vi = RLUNLOCK, 0
		if mut("wakelate") {
			m.pc = RLHINT
		}
		procSucc(n, p, x.out)
	case RLUNLOCK:
		i := lowbit(q.has)
		m.vi = uint8(i)
		if g.owner[i] == uint8(p+1) {
			g.owner[i] = 0
		}
		g.shared[i] &^= 1 << p
		m.pc = RLCLOSE
		x.emit(n, fmt.Sprintf("release: unlocks slot %d", i))
	case RLCLOSE:
		i := int(q.vi)
		m.has &^= 1 << i
		if m.childHas&(1<<i) == 0 {
			n.fire(1 << i)
		}
		m.pc, m.vi = RLHINT, 0
		if m.has != 0 {
			m.pc = RLUNLOCK
		} else if mut("wakelate") {
			m.pc = RLWAKE
		} else if c.keeper[p] {
			m.pc = RLCHECK // it has the pool's lock
		}
		x.emit(n, fmt.Sprintf("release: closes slot %d", i))
	case RLHINT:
		if g.sLine > 0 {
			m.pc = GONE
			n.tidy(p)
			x.emit(n, "there are waiters: exits")
		} else {
			m.pc, m.mode = LOCK, mRel
			x.emit(n, "no waiter: wants the pool lock")
		}
	case RLCHECK:
		i := int(q.vi)
		for i < c.N && (q.it&(1<<i) == 0 || g.mLim[i] == 0 || n.locked(i)) {
			i++
		}
		m.vi = uint8(i)
		if i >= c.N {
			m.pc = SAVE
			procSucc(n, p, x.out)
			return
		}
		g.owner[i] = uint8(17 + p)
		m.pc = RLCHECKING
		x.emit(n, fmt.Sprintf("release: checks slot %d", i))
	case RLCHECKING:
		i := int(q.vi)
		g.owner[i] = 0
		if !s.orphan(i) {
			g.mLim[i] = 0
		}
		m.vi++
		m.pc = RLCHECK
		x.emit(n, fmt.Sprintf("release: reads slot %d", i))
	}
}

// line is what else is done under the pool's lock: to step aside and come back, and to set a limit.
func (x *step) line() {
	p, q := x.p, x.q
	n := &x.n
	m, g := &n.p[p], &n.g
	switch q.pc {
	case SANOTE:
		m.asideSelf |= 1
		m.pc = SAUNLOCK
		x.emit(n, "notes that it steps aside")
	case SAUNLOCK:
		clr(m, fOwn)
		m.pc = SAVE
		x.emit(n, "unlocks its ticket")
	case SASTOP:
		set(m, fStopped)
		m.pc = RTLOCK
		x.emit(n, "stops itself")
	case RTLOCK:
		set(m, fOwn)
		m.pc, m.mode = LOCK, mReturn
		x.emit(n, "is back: locks its ticket")
	case RTNOTE:
		clr(m, fKnown)
		clr(m, fNoted)
		g.mChange++
		m.asideSelf &^= 1
		m.pc = SAVE
		x.emit(n, "notes that it is back (change++)")
	case SETWAKE:
		n.fire(4)
		m.pc = SETWRITE
		if mut("setwakelate") {
			m.pc = GONE
			n.tidy(p)
		}
		x.emit(n, "wakes the head for .any")
	case SETWRITE:
		g.own = uint8(c.setTo)
		m.pc = SAVE
		x.emit(n, fmt.Sprintf("sets the limit to %d", c.setTo))
	}
}
