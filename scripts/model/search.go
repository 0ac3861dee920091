package main

import (
	"fmt"
	"io"
	"unsafe"
)

type Store struct {
	arena  []byte
	parent []uint32
	table  []uint32
	n      int
	mask   uint32
}

func hash(b []byte) uint64 {
	h := uint64(0x9E3779B97F4A7C15)
	for i := 0; i+8 <= len(b); i += 8 {
		w := *(*uint64)(unsafe.Pointer(&b[i]))
		h ^= w
		h *= 0xff51afd7ed558ccd
		h ^= h >> 32
	}
	for i := len(b) &^ 7; i < len(b); i++ {
		h ^= uint64(b[i])
		h *= 0xff51afd7ed558ccd
		h ^= h >> 29
	}
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	return h
}

// a state is stored without the fields that procs that are not there have
func (st *Store) key(s *S) []byte {
	return s.bytes()[:int(unsafe.Sizeof(s.g))+(c.P)*int(unsafe.Sizeof(s.p[0]))]
}

func (st *Store) add(s *S, parent uint32) (uint32, bool) {
	k := st.key(s)
	L := len(k)
	h := uint32(hash(k)) & st.mask
	for {
		x := st.table[h]
		if x == 0 {
			break
		}
		o := int(x-1) * L
		if string(st.arena[o:o+L]) == string(k) {
			return x - 1, false
		}
		h = (h + 1) & st.mask
	}
	st.arena = append(st.arena, k...)
	st.parent = append(st.parent, parent)
	st.n++
	st.table[h] = uint32(st.n)
	if uint32(st.n) > st.mask/4*3 {
		st.grow(L)
	}
	return uint32(st.n - 1), true
}

func (st *Store) grow(L int) {
	st.mask = st.mask*2 + 1
	st.table = make([]uint32, st.mask+1)
	for i := 0; i < st.n; i++ {
		h := uint32(hash(st.arena[i*L:i*L+L])) & st.mask
		for st.table[h] != 0 {
			h = (h + 1) & st.mask
		}
		st.table[h] = uint32(i + 1)
	}
}

func (st *Store) get(i uint32) (s S) {
	L := len(st.key(&s))
	copy(s.bytes(), st.arena[int(i)*L:int(i)*L+L])
	return
}

func newStore() *Store {
	st := &Store{mask: 1<<20 - 1}
	st.table = make([]uint32, st.mask+1)
	return st
}

// first is the state in which a search begins.
func first(o options, out io.Writer) *S {
	s := initial()
	if o.prefix == 0 {
		return &s
	}
	viol = func(_ *S, kind string) { panic(kind) }
	step := func(want func(Trans) bool) bool {
		var next *S
		succ(&s, func(t Trans) {
			if next == nil && want(t) {
				next = &t.s
			}
		})
		if next != nil {
			s = *next
		}
		return next != nil
	}
	for i := c.held; i < c.held+o.prefix; i++ { // one after the other, undisturbed
		starts := fmt.Sprintf("P%d starts", i)
		if !step(func(t Trans) bool { return t.lab == starts }) {
			panic("cannot start")
		}
		for step(func(t Trans) bool { return t.fast }) {
		}
	}
	fmt.Fprintln(out, "begins with", show(&s))
	return &s
}

func initial() S {
	var s S
	s.g.own = uint8(c.own0)
	s.g.sChange = 1
	s.g.kills, s.g.stops, s.g.leaves, s.g.slows = uint8(c.kills), uint8(c.stops), uint8(c.leaves), uint8(c.slows)
	s.g.sets = uint8(c.asides)
	for i := 0; i < c.held; i++ {
		s.p[i].pc, s.p[i].child, s.p[i].childHas = GONE, 1, 1<<i
		s.g.owner[i], s.g.rec[i], s.g.sLim[i] = uint8(i+1), uint8(i+1), uint8(c.ask[i])
		if c.ask[i] == 0 {
			s.g.sLim[i] = noLimit
		}
		s.g.sTok++
		s.g.lastTok++
	}
	return s
}

// trace is the way to state i, and a last step from there.
func trace(st *Store, i uint32, lastLab string) []string {
	var path []uint32
	for {
		path = append(path, i)
		if st.parent[i] == i {
			break
		}
		i = st.parent[i]
	}
	var out []string
	old := viol
	viol = func(*S, string) {}
	for k := len(path) - 1; k > 0; k-- {
		a, b := st.get(path[k]), st.get(path[k-1])
		found := "?"
		succ(&a, func(t Trans) {
			if t.s == b {
				found = t.lab
			}
		})
		out = append(out, found)
	}
	viol = old
	if lastLab != "" {
		out = append(out, lastLab)
	}
	return out
}
