package redisstore_test

import (
	"errors"

	"berth/lease"
)

// adopt has a process adopt a lease, which may be adopted already, or not be kept.
func (m *model) adopt() {
	b := m.holder(func(*both) bool { return true })
	if b == nil {
		return
	}
	m.made++
	m.tell("adopt %s", b.name)
	r, err := m.real.Adopt(m.Context(), b.name, runner(m.made))
	w, merr := m.mem.Adopt(m.Context(), b.name, runner(m.made))
	if !alike(err, merr) {
		m.Errorf("adopt %s: %v, the model says %v", b.name, err, merr)
	}
	if r != nil && w != nil {
		b.realBy, b.memBy = r, w
	}
}

// holder is one that has its slots, and knows it.
func (m *model) holder(ok func(*both) bool) *both {
	var some []*both
	for _, b := range m.held {
		if b.realHas != nil && ok(b) {
			some = append(some, b)
		}
	}
	if len(some) == 0 {
		return nil
	}
	return pick(m, some)
}

// alike reports whether two errors of adoptions are the same.
func alike(a, b error) bool {
	var one, other *lease.AdoptedError
	if errors.As(a, &one) && errors.As(b, &other) {
		return one.Adopter == other.Adopter
	}
	return a == nil && b == nil || errors.Is(a, lease.ErrNotKept) && errors.Is(b, lease.ErrNotKept)
}

// adopted wants a keeper to be refused when it gives back an adopted lease.
func (m *model) adopted(b *both, used bool) {
	err, merr := end(b.realHas, used)(m.Context()), end(b.memHas, used)(m.Context())
	if err == nil || !alike(err, merr) {
		m.Errorf("release %s: %v, the model says %v", b.name, err, merr)
	}
}

// handBack ends an adoption, if there is one.
func (m *model) handBack() bool {
	b := m.holder(func(b *both) bool { return b.realBy != nil })
	if b == nil {
		return false
	}
	m.tell("hand back %s", b.name)
	for _, h := range []lease.Holding{b.realBy, b.memBy} {
		if _, err := h.Renew(m.Context(), 0); err != nil {
			m.Error(err)
		}
		if err := h.Release(m.Context()); err != nil {
			m.Error(err)
		}
	}
	b.realBy, b.memBy = nil, nil
	return true
}
