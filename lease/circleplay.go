package lease

import "slices"

// play is how far the jobs of a world have ended. What ends only lets others end, so their order
// does not matter, and what a job lets end is looked for once: among those that it is a part of,
// and at the head of each line in which it stood or whose slots it had.
type play struct {
	*world
	done  []bool // by job
	order []int  // the jobs that are done, in the order in which they ended
	parts []int  // by job: how many of its parts are not done
	ahead []int  // by pool: the waiters before this one do not stand before others
}

func newPlay(w *world) *play {
	p := &play{world: w, done: make([]bool, len(w.jobs)), parts: make([]int, len(w.jobs)), ahead: make([]int, len(w.pools))}
	for _, j := range w.jobs {
		for _, i := range j.in {
			p.parts[i]++
		}
	}
	return p
}

// settle lets all end that can.
func (p *play) settle() {
	for i := range p.jobs {
		p.tryEnd(i)
	}
}

// end ends jobs, and all that can end after them.
func (p *play) end(jobs ...int) {
	next := len(p.order)
	for _, k := range jobs {
		p.mark(k)
	}
	for ; next < len(p.order); next++ {
		j := p.jobs[p.order[next]]
		for _, i := range j.in {
			p.markIfCan(i)
		}
		for _, q := range j.pools {
			if i := p.head(q); i >= 0 {
				p.markIfCan(i)
			}
		}
	}
}

func (p *play) tryEnd(i int) {
	if !p.done[i] && p.canEnd(i) {
		p.end(i)
	}
}

func (p *play) markIfCan(i int) {
	if !p.done[i] && p.canEnd(i) {
		p.mark(i)
	}
}

func (p *play) mark(k int) {
	p.done[k], p.order = true, append(p.order, k)
	for _, i := range p.jobs[k].in {
		p.parts[i]--
	}
}

// undo takes back all ends but the first n.
func (p *play) undo(n int) {
	for _, k := range p.order[n:] {
		p.done[k] = false
		for _, i := range p.jobs[k].in {
			p.parts[i]++
		}
		for _, x := range p.jobs[k].waits {
			p.ahead[x.pool] = min(p.ahead[x.pool], x.nth)
		}
	}
	p.order = p.order[:n]
}

// blocks is the job that stands before others as the nth waiter of a pool, -1 if none does.
func (p *play) blocks(pool, nth int) int {
	t := p.pools[pool].Waiters[nth]
	if k, known := p.of[t.Ticket.ID]; known && !t.Aside && !p.done[k] {
		return k
	}
	return -1
}

// head is the job that is first in a pool's line, -1 if none is.
func (p *play) head(pool int) int {
	for n := &p.ahead[pool]; *n < len(p.pools[pool].Waiters); *n++ {
		if k := p.blocks(pool, *n); k >= 0 {
			return k
		}
	}
	return -1
}

func (p *play) canEnd(i int) bool {
	return p.parts[i] == 0 && !slices.ContainsFunc(p.jobs[i].waits, func(x wwait) bool { return !p.canStart(i, x) })
}

func (p *play) canStart(i int, x wwait) bool {
	p.head(x.pool)
	for n := p.ahead[x.pool]; n < x.nth; n++ {
		if k := p.blocks(x.pool, n); k >= 0 && k != i {
			return false
		}
	}
	pool := p.pools[x.pool]
	s := PoolState{Own: Settings{Limit: pool.Own.Limit}}
	for _, h := range pool.Holders {
		if k, known := p.of[h.Lease.ID]; known && !p.done[k] {
			s.Used += len(h.Lease.Slots)
			s.RequestedLimit = Smallest(nil, s.RequestedLimit, h.Lease.RequestedLimit)
		}
	}
	r := x.ticket
	v := Decide(s, Request{Limit: r.Limit, Fallback: r.Fallback, Weight: max(1, r.Weight)}, Clearance{})
	return v.Reason != Full // what else holds it back is no job
}

// smallest is a smallest group of those that are left which keeps itself waiting. They end as if
// all others had: nothing else is changed.
func (p *play) smallest() (left []int) {
	begun := len(p.order)
	for i := range slices.Backward(p.jobs) { // so that the first ones of the lines are left
		if p.done[i] {
			continue
		}
		n := len(p.order)
		if p.end(i); len(p.order) == len(p.jobs) {
			p.undo(n)
		}
	}
	for i, done := range p.done {
		if !done {
			left = append(left, i)
		}
	}
	p.undo(begun)
	return left
}
