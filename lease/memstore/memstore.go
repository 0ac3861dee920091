// Package memstore keeps pools in memory: the reference model of lease.Store, for tests
// and fuzzing. It has no crashes and no other processes, no lease or kept place of it
// ends by a clock, and its clock serves only paces, reports and keepalives. So what it
// answers is the contract and nothing else.
package memstore

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"berth/lease"
	"berth/lease/clock"
)

// Store is a set of pools in memory. The zero value is ready for use.
type Store struct {
	mu       sync.Mutex
	pools    map[string]*pool
	watchers []*watcher
}

var _ lease.Store = (*Store)(nil)

type pool struct {
	s       *Store
	name    string
	own     lease.Settings
	starts  lease.Starts
	report  *lease.Report
	tickets uint64
	token   uint64
	held    []*holding
	line    []*place
	changed chan struct{} // closed and replaced when anything changes
}

// pool returns the named pool; the caller has locked s.mu.
func (s *Store) pool(name string) *pool {
	if s.pools == nil {
		s.pools = map[string]*pool{}
	}
	p := s.pools[name]
	if p == nil {
		p = &pool{s: s, name: name, changed: make(chan struct{})}
		s.pools[name] = p
	}
	return p
}

func (p *pool) wake() {
	close(p.changed)
	p.changed = make(chan struct{})
	p.announce()
}

func (s *Store) state(p *pool, ahead int) lease.PoolState {
	st := lease.PoolState{Own: p.own, Ahead: ahead, Starts: p.starts, Clock: s.Clock()}
	for _, h := range p.held {
		st.Used += len(h.lease.Slots)
		st.RequestedLimit = lease.Smallest(nil, st.RequestedLimit, h.lease.RequestedLimit)
	}
	return st
}

// ahead counts the waiters that go before priority and seq.
func (p *pool) ahead(priority int, seq uint64) int {
	n := 0
	for _, t := range p.line {
		if !t.aside && before(t.ticket.Priority, t.ticket.Seq, priority, seq) {
			n++
		}
	}
	return n
}

func before(p1 int, s1 uint64, p2 int, s2 uint64) bool {
	return p1 < p2 || p1 == p2 && s1 < s2
}

func (s *Store) take(p *pool, r lease.Request, ahead int, clearance lease.Clearance) (lease.Holding, lease.Verdict) {
	v := lease.Decide(s.state(p, ahead), r, clearance)
	if v.Reason != lease.Ready {
		return nil, v
	}
	start := p.starts.Add(s.Clock(), r.Paces(p.own)...)
	r.Conditions = lease.Conditions{Need: r.Needs(p.own)}
	p.token++
	h := &holding{s: s, p: p, lease: lease.Lease{
		Version: lease.Version, Request: r, Token: p.token,
		InForce: v.Limit, RequestedLimit: r.Limit, State: lease.Reserved, Since: time.Now(), Start: start,
	}}
	for i := 0; len(h.lease.Slots) < r.Weight; i++ {
		if !slices.ContainsFunc(p.held, func(o *holding) bool { return slices.Contains(o.lease.Slots, i) }) {
			h.lease.Slots = append(h.lease.Slots, i)
		}
	}
	h.lease.SlotNames = p.own.NamesOf(h.lease.Slots)
	p.held = append(p.held, h)
	p.announce()
	return h, v
}

// TryAcquire implements lease.Store.
func (s *Store) TryAcquire(_ context.Context, r lease.Request) (lease.Holding, lease.Verdict, error) {
	if err := lease.CheckPool(r.Pool); err != nil {
		return nil, lease.Verdict{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pool(r.Pool)
	h, v := s.take(p, r, p.ahead(r.Priority, p.tickets+1), lease.Clearance{})
	return h, v, nil
}

// Line implements lease.Store.
func (s *Store) Line(_ context.Context, r lease.Request) (lease.Place, error) {
	if err := lease.CheckPool(r.Pool); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pool(r.Pool)
	for i, t := range p.line {
		if r.Key != "" && t.kept && t.ticket.Key == r.Key {
			n := &place{s: s, p: p, ticket: t.ticket}
			n.ticket.Request = r
			n.ticket.Priority = t.ticket.Priority
			p.line[i] = n
			p.wake()
			return n, nil
		}
	}
	p.tickets++
	t := &place{s: s, p: p, ticket: lease.Ticket{Version: lease.Version, Request: r, Seq: p.tickets, Since: time.Now()}}
	i := slices.IndexFunc(p.line, func(o *place) bool {
		return before(r.Priority, t.ticket.Seq, o.ticket.Priority, o.ticket.Seq)
	})
	if i < 0 {
		i = len(p.line)
	}
	p.line = slices.Insert(p.line, i, t)
	p.announce()
	if p.ahead(r.Priority, t.ticket.Seq) > 0 {
		t.seen = p.changed // until then it stays behind
	}
	return t, nil
}

// Set implements lease.Store.
func (s *Store) Set(_ context.Context, pool string, change func(lease.Settings, error) (lease.Settings, error)) error {
	if err := lease.CheckPool(pool); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pool(pool)
	own, err := change(p.own, nil)
	if err != nil {
		return err
	}
	p.own = own
	p.wake()
	return nil
}

// List implements lease.Store.
func (s *Store) List(_ context.Context, pools ...string) ([]lease.Pool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(pools) == 0 {
		for n := range s.pools {
			pools = append(pools, n)
		}
		slices.Sort(pools)
	}
	list := []lease.Pool{}
	for _, n := range pools {
		v := s.holders(n)
		if p := s.pools[n]; p != nil {
			for _, t := range p.line {
				v.Waiters = append(v.Waiters, t.entry())
			}
		}
		list = append(list, v)
	}
	return list, nil
}

// Summary implements lease.Store.
func (s *Store) Summary(_ context.Context, pool string, t lease.Ticket) (lease.Pool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.holders(pool)
	if p := s.pools[pool]; p != nil {
		v.Line = len(p.line)
		v.Place = 1 + slices.IndexFunc(p.line, func(o *place) bool { return o.ticket.ID == t.ID })
	}
	return v, nil
}

// holders describes a pool without its line.
func (s *Store) holders(pool string) lease.Pool {
	v := lease.Pool{Name: pool}
	if p := s.pools[pool]; p != nil {
		v.Own, v.Report, v.Starts = p.own, p.report, p.starts
		v.Starts.Buckets = slices.Clone(p.starts.Buckets)
		for _, h := range p.held {
			v.Holders = append(v.Holders, h.entry())
		}
		slices.SortFunc(v.Holders, func(a, b lease.Entry) int { return a.Lease.Slots[0] - b.Lease.Slots[0] })
	}
	v.Sum()
	return v
}

// Tell implements lease.Store.
func (s *Store) Tell(_ context.Context, id string, m lease.Message) (lease.Entry, error) {
	if err := m.Check(); err != nil {
		return lease.Entry{}, err
	}
	h, t, err := s.find(id)
	defer s.mu.Unlock()
	switch {
	case err != nil:
		return lease.Entry{}, err
	case h != nil && m.ForWaiter():
		return lease.Entry{}, lease.HoldsError(id)
	case h != nil:
		e := h.entry()
		h.inbox.Put(m, s.Clock())
		if m.Note != "" {
			h.note = m.Note
		}
		return e, nil
	case m.ForHolder():
		return lease.Entry{}, lease.WaitsError(id)
	}
	e := t.entry()
	t.inbox.Put(m, s.Clock())
	if t.kept {
		t.remove()
	}
	t.p.wake()
	return e, nil
}

// find returns with s.mu locked.
func (s *Store) find(id string) (*holding, *place, error) {
	s.mu.Lock()
	name, err := lease.PoolOf(id)
	if err != nil {
		return nil, nil, err
	}
	p := s.pool(name)
	for _, h := range p.held {
		if h.lease.ID == id {
			return h, nil, nil
		}
	}
	for _, t := range p.line {
		if t.ticket.ID == id {
			return nil, t, nil
		}
	}
	return nil, nil, fmt.Errorf("%s: %w", id, lease.ErrNotFound)
}

// begun is one moment for all stores: a clock that began with the first pool would have
// no time before it.
var begun = time.Now()

// Clock implements lease.Store. It is above 0, which is no instant.
func (s *Store) Clock() clock.Instant { return clock.Instant(time.Since(begun) + 1) }
