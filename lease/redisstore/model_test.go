package redisstore_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/memstore"
)

// TestModel does the same to a store and to the model, step by step at random, and wants
// the same answers: the script and lease.Decide are one rule, written twice.
//
// A store that grants on release gives slots to waiters that do not know it yet. So does the
// model here: where the script settles the line, all its places are tried in order, and a
// waiter that was granted its slots gets them with its own next try.
func TestModel(t *testing.T) {
	t.Parallel()
	server := known(t)
	s, c := open(t, server, ""), client(t, server)
	const runs, steps = 60, 80
	said := map[lease.Reason]int{}
	for run := range runs {
		seed := rand.Uint64()
		m := &model{
			T: t, dice: rand.New(rand.NewPCG(seed, 0)), pool: fmt.Sprintf("p%d", run),
			real: s, mem: &memstore.Store{}, said: said,
		}
		m.sums = func() string { return sumsOff(t, c, m.pool) }
		for range steps {
			m.step()
		}
		m.end()
		if t.Failed() {
			t.Fatalf("seed %d:\n%s", seed, m.story)
		}
	}
	for _, r := range []lease.Reason{lease.Ready, lease.Behind, lease.Full, lease.Drained, lease.Paced, lease.Gated, lease.TooHeavy, opened} {
		if said[r] == 0 {
			t.Errorf("no request was %s: the dice are loaded", r)
		}
	}
}

// opened is what the test calls a grant to a request that has a clearance.
const opened lease.Reason = "let through its gates"

// both is one request in the two stores. It has its places in the line, or its holdings.
type both struct {
	name             string
	key              string
	real, mem        lease.Place // nil: it came by TryAcquire
	realHas, memHas  lease.Holding
	realBy, memBy    lease.Holding // those of its adopter; nil: it has none
	aside, kept      bool
	realAsk, memAsk  lease.Clearance // what answers the last verdict, if that was gated
	askable, granted bool            // granted: in the model, and not seen yet
}

type model struct {
	*testing.T
	dice      *rand.Rand
	pool      string
	real, mem lease.Store
	line      []*both
	held      []*both
	made      int
	said      map[lease.Reason]int
	story     string
	sums      func() string // what is wrong with the script's own sums
}

func (m *model) tell(format string, args ...any) { m.story += fmt.Sprintf(format, args...) + "\n" }

func (m *model) step() {
	// The number of each kind is how often it comes.
	pick(m, []func(){
		m.try, m.try, m.try, m.try, m.join, m.join, m.join, m.join, m.join, m.join,
		m.turn, m.turn, m.turn, m.turn, m.turn, m.turn, m.turn, m.release, m.release, m.release, m.release,
		m.leave, m.leave, m.setAside, m.setAside, m.set, m.set, m.renew, m.adopt, m.adopt, func() { m.handBack() },
	})()
	m.compare()
}

var (
	limits     = []int{0, 1, 2, 3, 5}
	priorities = []int{0, 0, 0, -3, 4, 20, -20}
	keys       = []string{"", "", "", "a", "b"}
	// An hour, so that none ends during a run.
	rates = []lease.Pace{{}, {}, {}, {Every: time.Hour, Burst: 40}, {Every: time.Hour, Burst: 12}, {Every: 2 * time.Hour, Burst: 25}}
	ramps = []time.Duration{0, 0, 0, 0, 0, 0, 0, time.Hour}
	gates = []string{"", "", "", "g", "h"}
)

func pick[T any](m *model, from []T) T { return from[m.dice.IntN(len(from))] }

func (m *model) conditions() lease.Conditions {
	return lease.Conditions{Gates: pick(m, gates), MinSlots: m.dice.IntN(3), Ramp: pick(m, ramps), Rate: pick(m, rates)}
}

func (m *model) request() lease.Request {
	m.made++
	r := lease.Request{
		ID: lease.NewID(m.pool), Pool: m.pool, Limit: pick(m, limits), Fallback: 2, Weight: 1 + m.dice.IntN(3)*m.dice.IntN(2),
		Priority: pick(m, priorities), Key: pick(m, keys), Grace: time.Minute, TTL: time.Minute, Kept: m.dice.IntN(2) == 0,
	}
	if m.dice.IntN(3) == 0 {
		r.Conditions = m.conditions()
	}
	// Which of two requests with one key comes back is not specified.
	for _, b := range m.line {
		if b.key == r.Key && !b.kept {
			r.Key = ""
		}
	}
	return r
}

// sort puts the line into the order of the model's numbers.
func (m *model) sort() {
	slices.SortStableFunc(m.line, func(a, b *both) int {
		s, t := a.mem.Ticket(), b.mem.Ticket()
		if s.Priority != t.Priority {
			return s.Priority - t.Priority
		}
		return int(int64(s.Seq) - int64(t.Seq))
	})
}

// settle tries the places of the model in order, until one has to wait.
func (m *model) settle() {
	m.sort()
	for _, b := range slices.Clone(m.line) {
		if b.aside {
			continue
		}
		h, _, err := b.mem.TryAcquire(m.Context(), lease.Clearance{})
		if err != nil {
			m.Error(err)
		}
		if h == nil {
			return
		}
		b.memHas, b.granted = h, true
		m.stand(b, false)
		m.held = append(m.held, b)
	}
}

func (m *model) stand(b *both, on bool) {
	m.line = slices.DeleteFunc(m.line, func(o *both) bool { return o == b })
	if on {
		m.line = append(m.line, b)
		m.sort()
	}
}

// same compares two answers. The model has no numbers for one that is behind.
func (m *model) same(what string, h, g lease.Holding, v, w lease.Verdict) {
	m.tell("%s: %v %+v", what, v.Reason, v.Limit)
	m.said[v.Reason]++
	switch {
	case v.Reason != w.Reason || (h == nil) != (g == nil):
		m.Errorf("%s: %+v, the model says %+v", what, v, w)
	case h != nil:
		a, b := h.Lease(), g.Lease()
		if !slices.Equal(a.Slots, b.Slots) || a.InForce != b.InForce || a.RequestedLimit != b.RequestedLimit {
			m.Errorf("%s: %+v, the model has %+v", what, a, b)
		}
	case v.Reason != lease.Behind && (v.Used != w.Used || v.Limit != w.Limit || !slices.Equal(v.Gates, w.Gates)):
		m.Errorf("%s: %+v, the model says %+v", what, v, w)
	}
}

func (m *model) try() {
	r := m.request()
	r.Key = ""
	m.settle()
	h, v, err := m.real.TryAcquire(m.Context(), r)
	g, w, merr := m.mem.TryAcquire(m.Context(), r)
	if err != nil || merr != nil {
		m.Errorf("%v, %v", err, merr)
	}
	m.same(fmt.Sprintf("try %s weight %d limit %d priority %d %+v", r.ID, r.Weight, r.Limit, r.Priority, r.Conditions), h, g, v, w)
	if h != nil && g != nil {
		m.held = append(m.held, &both{name: r.ID, realHas: h, memHas: g})
	}
}

func (m *model) join() {
	r := m.request()
	p, err := m.real.Line(m.Context(), r)
	q, merr := m.mem.Line(m.Context(), r)
	if err != nil || merr != nil {
		m.Fatalf("%v, %v", err, merr)
	}
	m.tell("line %s weight %d limit %d priority %d key %q %+v", r.ID, r.Weight, r.Limit, r.Priority, r.Key, r.Conditions)
	for _, b := range m.line {
		if r.Key != "" && b.kept && b.key == r.Key {
			m.stand(b, false)
			m.tell("  in the place of %s", b.name)
			break
		}
	}
	m.stand(&both{name: r.ID, key: r.Key, real: p, mem: q}, true)
}

// waiting is a request that waits, or has been granted its slots without its knowledge.
func (m *model) waiting(ok func(*both) bool) *both {
	var some []*both
	for _, b := range slices.Concat(m.line, m.held) {
		if b.realHas == nil && ok(b) {
			some = append(some, b)
		}
	}
	if len(some) == 0 {
		return nil
	}
	return pick(m, some)
}

func (m *model) turn() {
	b := m.waiting(func(b *both) bool { return !b.aside })
	if b == nil {
		return
	}
	m.ask(b)
	if b.askable && m.dice.IntN(3) > 0 { // as it is done: asked, and back at once
		m.compare()
		m.ask(b)
	}
}

// ask tries the place of a waiter, with a clearance for its last verdict, or without.
func (m *model) ask(b *both) {
	realAsk, memAsk := lease.Clearance{}, lease.Clearance{}
	if b.askable && m.dice.IntN(4) > 0 {
		realAsk, memAsk = b.realAsk, b.memAsk
	}
	if !b.granted { // a holder that has its slots is told so without the others being read
		m.settle()
	}
	was := b.granted
	h, v, err := b.real.TryAcquire(m.Context(), realAsk)
	if err != nil {
		m.Error(err)
	}
	g, w := b.memHas, lease.Verdict{Reason: lease.Ready}
	if !b.granted {
		g, w, err = b.mem.TryAcquire(m.Context(), memAsk)
		if err != nil {
			m.Error(err)
		}
	}
	m.same("turn "+b.name, h, g, v, w)
	if h != nil && len(realAsk.Gates) > 0 && !was {
		m.said[opened]++
	}
	b.askable = v.Reason == lease.Gated
	b.realAsk = lease.Clearance{Gates: v.Gates, Last: v.Last, At: m.real.Clock()}
	b.memAsk = lease.Clearance{Gates: w.Gates, Last: w.Last, At: m.mem.Clock()}
	if h != nil && g != nil {
		b.realHas, b.memHas = h, g
		if !was {
			m.stand(b, false)
			m.held = append(m.held, b)
			m.settle()
		}
		b.granted = false
	}
}
