package main

func (s *S) fl(p int, f uint16) bool { return s.p[p].f&f != 0 }

func set(q *Proc, f uint16) { q.f |= f }

func clr(q *Proc, f uint16) { q.f &^= f }

func (s *S) fire(bit uint8) {
	for i := 0; i < c.P; i++ {
		if s.p[i].f&fWatch != 0 {
			s.p[i].events |= bit
		}
	}
}

func key(p int, seq uint8) int { return (c.prio[p]+1)*16 + int(seq) }

// greatest existing ticket below k
func (s *S) lastBelow(k int) (int, int) {
	best, bk := -1, 0
	for i := 0; i < c.P; i++ {
		if s.fl(i, fFile) {
			if kk := key(i, s.p[i].seq); kk < k && kk > bk {
				best, bk = i, kk
			}
		}
	}
	return best, bk
}

func (s *S) tickets() uint8 {
	n := uint8(0)
	for i := 0; i < c.P; i++ {
		if s.fl(i, fFile) {
			n++
		}
	}
	return n
}

func (s *S) ownLocked(i int) bool { return s.fl(i, fOwn) }

// ended tells those that follow a process that it is gone: p+1 a berth, 16+p+1 a child.
func (s *S) ended(who uint8) {
	for i := 0; i < c.P; i++ {
		for k := 0; k < c.N; k++ {
			if s.p[i].follows[k] == who {
				s.p[i].follows[k] = 0
				if s.p[i].f&fWatch != 0 {
					s.p[i].events |= 1 << k
				}
			}
		}
	}
}

// ending: the owner of lease r is gone, or on its way out.
func (s *S) ending(r uint8) bool {
	p := int(r - 1)
	if c.exec[p] && s.p[p].pc == GONE && s.p[p].child != 0 {
		return s.p[p].child != 1
	}
	return s.p[p].pc == GONE || s.p[p].pc == DYING
}

func (s *S) frozen(i int) bool {
	return s.fl(i, fStopped) && s.p[i].pc != GONE && s.p[i].pc != DYING
}

func (s *S) aliveBerth(i int) bool { return s.p[i].pc != GONE && s.p[i].pc != DYING }

func (s *S) locked(i int) bool { return s.g.owner[i] != 0 || s.g.shared[i] != 0 }

func (s *S) orphan(i int) bool { // the recorded job of slot i lives, per /proc
	r := s.g.rec[i]
	if r == 0 || mut("nochild") {
		return false
	}
	if c.keeper[r-1] {
		by := s.g.by[i]
		return by != 0 && s.g.byChild[i] != 0 && s.runs(int(by-1)) || s.started()
	}
	return s.runs(int(r - 1))
}

// runs: the child of p lives.
func (s *S) runs(p int) bool { return s.p[p].child == 1 || s.p[p].child == 2 }

// started: a process lives that was started under the kept lease, by its environment.
func (s *S) started() bool {
	for i := 0; i < c.P; i++ {
		if c.adopter[i] && s.startedBy(i) {
			return true
		}
	}
	return false
}

func smallest(own uint8, asks ...int) int {
	l := 0
	for _, a := range asks {
		if a > 0 && a != noLimit && (l == 0 || a < l) {
			l = a
		}
	}
	if own != 255 && (l == 0 || int(own) < l) {
		l = int(own)
	}
	return l
}

func (s *S) used() (n, asked int) {
	for i := 0; i < 2; i++ {
		l := int(s.g.mLim[i])
		if l == 0 {
			continue
		}
		n++
		if l != noLimit && (asked == 0 || l < asked) {
			asked = l
		}
	}
	return
}

func (s *S) askOf(p int) int {
	if c.ask[p] > 0 {
		return c.ask[p]
	}
	if s.g.own != 255 {
		return 0
	}
	return c.fallback
}

func (s *S) loadIndex() {
	g := &s.g
	g.mChange, g.mLine, g.mSeq, g.mTok, g.mLim = g.sChange, g.sLine, g.sSeq, g.sTok, g.sLim
}

func (s *S) saveIndex() {
	g := &s.g
	g.sChange, g.sLine, g.sSeq, g.sTok, g.sLim = g.mChange, g.mLine, g.mSeq, g.mTok, g.mLim
}

func (s *S) clearMem() {
	g := &s.g
	g.mChange, g.mLine, g.mSeq, g.mTok, g.mLim = 0, 0, 0, 0, [2]uint8{}
	g.stopDuring = 0
}

// tidy forgets what can no longer be seen, so that states meet.
func (s *S) tidy(p int) {
	m := &s.p[p]
	if m.pc != GONE {
		return
	}
	keep := m.f & (fFile | fNoted | fPre | fOwn)
	if keep&fFile == 0 {
		keep &^= fNoted
	}
	slots := uint8(0) // under which its child runs
	if c.adopter[p] && (m.child == 1 || m.child == 2) {
		slots = m.it
	}
	*m = Proc{f: keep, it: slots, pc: GONE, seq: m.seq, has: m.has, childHas: m.childHas, closing: m.closing, child: m.child}
	if keep&fFile == 0 {
		m.seq = 0
	}
}

func (s *S) closingNow() bool {
	for i := 0; i < c.P; i++ {
		if s.p[i].closing != 0 || s.p[i].pc == DYING || s.p[i].child == 2 || s.p[i].child == 6 {
			return true
		}
	}
	return false
}

func same(a, b int) bool {
	return c.weight[a] == c.weight[b] && c.ask[a] == c.ask[b] && c.exec[a] == c.exec[b] && c.closer[a] == c.closer[b] &&
		c.daemon[a] == c.daemon[b] && c.prio[a] == c.prio[b] && c.isSet[a] == c.isSet[b] && c.keeper[a] == c.keeper[b] && c.adopter[a] == c.adopter[b]
}

func anySet() bool {
	for _, b := range c.isSet {
		if b {
			return true
		}
	}
	return false
}

func lowbit(b uint8) int {
	for i := 0; i < 8; i++ {
		if b&(1<<i) != 0 {
			return i
		}
	}
	return 0
}

func bits(b uint8) (n int) {
	for ; b != 0; b &= b - 1 {
		n++
	}
	return
}
