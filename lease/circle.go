package lease

import "slices"

// Circle is a circular wait: none of its waiters starts before another one of them has ended,
// or has left the line. It lasts until somebody stops one of its members. Without any of them
// it would be no circle.
type Circle []Wait

// Wait is a waiter of a circle, and the leases in the circle that are given back only after
// it: those that its own job holds in other pools, and those of jobs that it is a part of. A
// waiter has none that only stands in the way of those behind it.
type Wait struct {
	Waiter *Ticket
	Holds  []*Lease
}

// Circles finds the circular waits among pools. below reports whether a process is another
// one, or a descendant of it, as far as that is known here; nil: only whether it is.
//
// A job holds leases, waits, or both: the requests of several pools (Together) are one job,
// and it runs nothing before it has all slots. A job that does not wait ends once its parts
// have ended: those whose Inside names one of its leases, and those whose process is below
// that of its child or below the one that a kept lease is tied to. A job that waits can start
// once all before it in the line have gone, and there is room beside those that cannot end.
//
// It is played through in the best way it can go: each waiter that can start also ends, and frees
// what it holds. Paces and gates are open, a drained pool gets its limit back, a stopped
// waiter comes to nothing, and a record that cannot be read is no job. So where a pool has
// several slots, one that may become free is enough to break the circle. Who is left waits
// for ever, or for somebody who does. The smallest groups of these that keep themselves
// waiting, even if all others ended, are the circles. (This is the reduction of a graph of
// reusable resources: R. C. Holt, Some Deadlock Properties of Computer Systems, 1972.)
func Circles(pools []Pool, below func(p, of Process) bool) (circles []Circle) {
	if below == nil {
		below = func(p, of Process) bool { return p == of }
	}
	w := newWorld(pools, below)
	if !w.related {
		return nil // as nearly always
	}
	done := make([]bool, len(w.jobs))
	for w.settle(done); slices.Contains(done, false); w.settle(done) {
		left := w.smallest(done)
		if c := w.circle(left); c != nil {
			circles = append(circles, c)
		}
		for j := range done {
			done[j] = done[j] || left[j] // as if it were resolved
		}
	}
	return circles
}

// Contains reports whether a waiter with this id is in the circle.
func (c Circle) Contains(id string) bool {
	return slices.ContainsFunc(c, func(w Wait) bool { return w.Waiter.ID == id })
}

// Victim is the id of the member whose stop costs least: a waiter that holds nothing, else
// the lease that was granted last.
func (c Circle) Victim() string {
	var last *Lease
	for _, w := range c {
		if len(w.Holds) == 0 {
			return w.Waiter.ID
		}
		for _, l := range w.Holds {
			if last == nil || l.Since.After(last.Since) || l.Since.Equal(last.Since) && l.ID > last.ID {
				last = l
			}
		}
	}
	return last.ID
}

// world is the jobs of all pools.
type world struct {
	pools   []Pool
	jobs    []*wjob
	related bool           // a job is a part of another one, or has several requests
	of      map[string]int // the job of an id
}

// wjob is a job.
type wjob struct {
	leases []*Lease
	waits  []wwait
	parts  []int // the jobs that end before it
}

// wwait is a place in a line: its ticket is the nth waiter of the pool.
type wwait struct {
	ticket    *Ticket
	pool, nth int
}

func newWorld(pools []Pool, below func(p, of Process) bool) *world {
	w := &world{pools: pools, of: map[string]int{}}
	for i, p := range pools {
		for _, h := range p.Holders {
			if h.Lease.ID != "" && h.Lease.State != Damaged {
				j := w.job(&h.Lease.Request)
				j.leases = append(j.leases, h.Lease)
			}
		}
		for n, t := range p.Waiters {
			if !t.Aside && t.Ticket.ID != "" {
				j := w.job(&t.Ticket.Request)
				j.waits = append(j.waits, wwait{t.Ticket, i, n})
			}
		}
	}
	for i, j := range w.jobs {
		for k, part := range w.jobs {
			if i != k && len(j.waits) == 0 && isPart(part, j, below) {
				j.parts = append(j.parts, k)
				w.related = true
			}
		}
	}
	return w
}

// job is the job of a request.
func (w *world) job(r *Request) *wjob {
	key := r.ID
	if slices.Contains(r.Together, r.ID) {
		key = r.Together[0]
	}
	i, known := w.of[key]
	if !known {
		i = len(w.jobs)
		w.jobs = append(w.jobs, &wjob{})
		w.of[key] = i
	}
	w.of[r.ID] = i
	w.related = w.related || known
	return w.jobs[i]
}

// isPart reports whether part ends before j.
func isPart(part, j *wjob, below func(p, of Process) bool) bool {
	for _, l := range j.leases {
		for _, x := range part.waits {
			if within(&x.ticket.Request, l, below) {
				return true
			}
		}
		for _, x := range part.leases {
			// What is kept for the same process does not keep this one from being given back.
			if !x.Kept && within(&x.Request, l, below) || slices.Contains(x.Inside, l.ID) {
				return true
			}
		}
	}
	return false
}

func within(r *Request, l *Lease, below func(p, of Process) bool) bool {
	if slices.Contains(r.Inside, l.ID) {
		return true
	}
	for _, of := range []*Process{l.Tied, l.Child} {
		if of != nil && (below(r.Owner, *of) || r.Tied != nil && below(*r.Tied, *of)) {
			return true
		}
	}
	return false
}

// settle finds out which jobs can end after those that are done.
func (w *world) settle(done []bool) {
	for again := true; again; {
		again = false
		for i, j := range w.jobs {
			if !done[i] && w.canEnd(j, done) {
				done[i], again = true, true
			}
		}
	}
}

func (w *world) canEnd(j *wjob, done []bool) bool {
	for _, x := range j.waits {
		if !w.canStart(j, x, done) {
			return false
		}
	}
	return !slices.ContainsFunc(j.parts, func(k int) bool { return !done[k] })
}

func (w *world) canStart(j *wjob, x wwait, done []bool) bool {
	p := w.pools[x.pool]
	for _, ahead := range p.Waiters[:x.nth] {
		if k, known := w.of[ahead.Ticket.ID]; known && !ahead.Aside && !done[k] && w.jobs[k] != j {
			return false
		}
	}
	s := PoolState{Own: Settings{Limit: p.Own.Limit}}
	for _, h := range p.Holders {
		if k, known := w.of[h.Lease.ID]; known && !done[k] {
			s.Used += len(h.Lease.Slots)
			s.RequestedLimit = Smallest(nil, s.RequestedLimit, h.Lease.RequestedLimit)
		}
	}
	r := x.ticket
	v := Decide(s, Request{Limit: r.Limit, Fallback: r.Fallback, Weight: max(1, r.Weight)}, Clearance{})
	return v.Reason != Full // what else holds it back is no job
}

// smallest is a smallest group of those that are left which keeps itself waiting.
func (w *world) smallest(done []bool) (left []bool) {
	done = slices.Clone(done)
	for j := range done {
		if done[j] {
			continue
		}
		without := slices.Clone(done)
		without[j] = true
		if w.settle(without); slices.Contains(without, false) {
			done = without
		}
	}
	for _, d := range done {
		left = append(left, !d)
	}
	return left
}

// circle is the members of a group, nil if nobody waits in it or nobody holds anything.
func (w *world) circle(in []bool) (c Circle) {
	holds := false
	for k, j := range w.jobs {
		if !in[k] || len(j.waits) == 0 {
			continue
		}
		leases := slices.Clone(j.leases)
		for _, i := range w.around(k, in) {
			leases = append(leases, w.jobs[i].leases...)
		}
		holds = holds || len(leases) > 0
		for _, x := range j.waits {
			c = append(c, Wait{x.ticket, leases})
		}
	}
	if !holds {
		return nil
	}
	return c
}

// around is the jobs of a group that a job is a part of, also a part of a part.
func (w *world) around(k int, in []bool) (all []int) {
	next := []int{k}
	for len(next) > 0 {
		part := next[0]
		next = next[1:]
		for i, j := range w.jobs {
			if in[i] && !slices.Contains(all, i) && slices.Contains(j.parts, part) {
				all, next = append(all, i), append(next, i)
			}
		}
	}
	slices.Sort(all)
	return all
}
