package main

import (
	"fmt"
	"sort"
	"strings"
)

func (s *S) jobs(why string) {
	n := 0
	min := 99
	for i := 0; i < c.P; i++ {
		if s.p[i].child == 1 {
			n += c.weight[i]
			if c.ask[i] > 0 && c.ask[i] < min {
				min = c.ask[i]
			}
		}
	}
	if min == 99 {
		min = c.fallback
	}
	if c.own0 != 255 {
		o := c.own0
		if anySet() && c.setTo > o {
			o = c.setTo
		}
		if o < min {
			min = o
		}
	}
	if n > min {
		viol(s, fmt.Sprintf("MORE-THAN-N: %d jobs' slots with limit %d", n, min))
	}
}

func (s *S) taken() (n, asked int) {
	for i := 0; i < c.N; i++ {
		if s.locked(i) || s.orphan(i) {
			n++
			if r := s.g.rec[i]; r != 0 {
				if a := c.ask[r-1]; a > 0 && (asked == 0 || a < asked) {
					asked = a
				}
			}
		}
	}
	return
}

// lost says which process could start and is not going to, "" for none. s has no fast step.
func lost(s *S) (who int, class string) {
	if s.g.lock != 0 {
		return -1, ""
	}
	type w struct{ p, k int }
	var ws []w
	for i := 0; i < c.P; i++ {
		if s.fl(i, fFile) && s.aliveBerth(i) && (s.p[i].pc == WAIT || s.fl(i, fStopped)) {
			ws = append(ws, w{i, key(i, s.p[i].seq)})
		}
	}
	sort.Slice(ws, func(a, b int) bool { return ws[a].k < ws[b].k })
	behindFrozen := false
	for _, x := range ws {
		if s.fl(x.p, fStopped) {
			behindFrozen = true
			continue
		}
		used, asked := s.taken()
		limit := smallest(s.g.own, asked, s.askOf(x.p))
		if limit > 0 && used+c.weight[x.p] <= limit {
			class = "LOST"
			if behindFrozen {
				class = "LOST behind a frozen waiter"
			} else {
				for i := 0; i < c.P; i++ {
					if s.fl(i, fStopped) && s.aliveBerth(i) {
						class = "LOST while P stopped at " + pcName[s.p[i].pc]
					}
				}
			}
			if s.p[x.p].pred != 0 {
				class += " [waits behind: 45 s]"
			} else {
				class += " [head: 3 s]"
			}
			return x.p, class
		}
		return -1, ""
	}
	return -1, ""
}

// recovers: with fast steps and slow checks alone, does p get its slot?
func recovers(s0 *S, p int) bool {
	s := *s0
	s.g.slows = 3
	seen := map[S]bool{s: true}
	q := []S{s}
	old := viol
	viol = func(*S, string) {}
	defer func() { viol = old }()
	for len(q) > 0 && len(seen) < 20000 {
		x := q[0]
		q = q[1:]
		if pc := x.p[p].pc; pc == FORK || pc == EXECVE || x.p[p].child != 0 {
			return true
		}
		succ(&x, func(t Trans) {
			if (t.fast || t.slow) && !seen[t.s] {
				seen[t.s] = true
				q = append(q, t.s)
			}
		})
	}
	return false
}

func show(s *S) string {
	var b strings.Builder
	g := &s.g
	fmt.Fprintf(&b, "lock=%d index{change %d line %d lim %v} owner=%v rec=%v own=%d | ", g.lock, g.sChange, g.sLine, g.sLim[:c.N], g.owner[:c.N], g.rec[:c.N], g.own)
	for i := 0; i < c.P; i++ {
		q := &s.p[i]
		fmt.Fprintf(&b, "P%d:%s", i, pcName[q.pc])
		if q.pc == LOCK {
			fmt.Fprintf(&b, "(%s)", modeName[q.mode])
		}
		fl := ""
		for k, nm := range map[uint16]string{fStopped: "STOPPED", fKnown: "listed", fPassed: "passing", fWatch: "watch", fOwn: "own", fFile: "file", fNoted: "noted", fScanAll: "scan.all"} {
			if q.f&k != 0 {
				fl += " " + nm
			}
		}
		fmt.Fprintf(&b, "[seq%d ch%d pred%d susp%b again%d ev%b blk%d/%d child%d has%b chas%b%s] ", q.seq, q.change, q.pred, q.some, q.checks, q.events, q.blockedOn, q.bstate, q.child, q.has, q.childHas, fl)
	}
	return b.String()
}
