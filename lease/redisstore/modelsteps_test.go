package redisstore_test

import (
	"context"
	"maps"
	"slices"

	"berth/lease"
)

func (m *model) release() {
	var some []*both
	for _, b := range m.held {
		if b.realHas != nil {
			some = append(some, b)
		}
	}
	if len(some) > 0 {
		m.giveBack(pick(m, some), m.dice.IntN(3) > 0)
	}
}

func (m *model) giveBack(b *both, used bool) {
	m.tell("release %s, used: %v", b.name, used)
	if b.realBy != nil {
		m.adopted(b, used)
		return
	}
	if err := end(b.realHas, used)(m.Context()); err != nil {
		m.Error(err)
	}
	m.drop(b, used)
}

func end(h lease.Holding, used bool) func(context.Context) error {
	if used {
		return h.Release
	}
	return h.Unused
}

// drop ends a lease in the model.
func (m *model) drop(b *both, used bool) {
	if err := end(b.memHas, used)(m.Context()); err != nil {
		m.Error(err)
	}
	m.held = slices.DeleteFunc(m.held, func(o *both) bool { return o == b })
	m.settle()
}

func (m *model) leave() {
	if b := m.waiting(func(b *both) bool { return !b.kept }); b != nil {
		m.goAway(b)
	}
}

func (m *model) goAway(b *both) {
	m.tell("leave %s", b.name)
	if err := b.real.Leave(m.Context()); err != nil {
		m.Error(err)
	}
	if b.granted { // and so it is kept for no key
		m.drop(b, false)
		return
	}
	if err := b.mem.Leave(m.Context()); err != nil {
		m.Error(err)
	}
	b.aside, b.kept = b.key != "", b.key != ""
	m.stand(b, b.kept)
	m.settle()
}

func (m *model) setAside() {
	b := m.waiting(func(b *both) bool { return !b.kept && !b.granted })
	if b == nil {
		return
	}
	b.aside = !b.aside
	m.tell("aside %s: %v", b.name, b.aside)
	for _, p := range []lease.Place{b.real, b.mem} {
		move := p.Return
		if b.aside {
			move = p.StepAside
		}
		if err := move(m.Context()); err != nil {
			m.Error(err)
		}
	}
	m.settle()
}

func (m *model) set() {
	var new lease.Settings
	if m.dice.IntN(2) == 0 {
		new.Limit = &limits[m.dice.IntN(len(limits))]
	}
	if m.dice.IntN(2) == 0 {
		new.Conditions = m.conditions()
	}
	m.tell("set %+v", new)
	for _, s := range []lease.Store{m.real, m.mem} {
		err := s.Set(m.Context(), m.pool, func(_ lease.Settings, err error) (lease.Settings, error) { return new, err })
		if err != nil {
			m.Error(err)
		}
	}
	m.settle()
}

func (m *model) renew() {
	for _, b := range m.held {
		if b.realHas == nil {
			continue
		}
		if _, err := b.realHas.Renew(m.Context(), 0); err != nil {
			m.Error(err)
		}
		return // a heartbeat that finds no dead holder reads no line
	}
}

// compare checks that both have the same holders with the same slots, the same line, and
// one limit.
func (m *model) compare() {
	a, b := m.look(m.real), m.look(m.mem)
	if !maps.EqualFunc(a.slots, b.slots, slices.Equal) || !slices.Equal(a.line, b.line) || a.limit != b.limit || !maps.Equal(a.adopted, b.adopted) {
		m.Errorf("%+v, the model has %+v", a, b)
	}
	if off := m.sums(); off != "" {
		m.Errorf("the script's sums are off: %s", off)
	}
	if m.Failed() {
		m.Fatal(m.story)
	}
}

type seen struct {
	slots map[string][]int
	line  []string
	limit int // -1: none
	// adopted are the starts of the adopters, by the ids of their leases.
	adopted map[string]uint64
}

func (m *model) look(s lease.Store) seen {
	pools, err := s.List(m.Context(), m.pool)
	if err != nil {
		m.Fatal(err)
	}
	v := seen{slots: map[string][]int{}, limit: -1, adopted: map[string]uint64{}}
	for _, h := range pools[0].Holders {
		v.slots[h.Lease.ID] = h.Lease.Slots
		if by := h.Lease.Adopter; by != nil {
			v.adopted[h.Lease.ID] = by.Start
		}
	}
	for _, w := range pools[0].Waiters {
		v.line = append(v.line, w.Ticket.ID)
	}
	if l := pools[0].Limit; l != nil {
		v.limit = *l
	}
	return v
}

// end gives all back, and finds both stores empty.
func (m *model) end() {
	for _, b := range slices.Clone(m.line) {
		if !b.kept {
			m.goAway(b)
			m.compare()
		}
	}
	for m.handBack() {
		m.compare()
	}
	for len(m.held) > 0 {
		if b := m.held[0]; b.realHas != nil {
			m.giveBack(b, true)
		} else {
			m.goAway(b)
		}
		m.compare()
	}
}
