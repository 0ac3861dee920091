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

// Circles finds the circular waits among pools. above names a process's parent, the parent of
// that, and so on, as far as they are known here; nil: none is.
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
// waiting, even if all others ended, are the circles. The time that it takes grows with the
// number of jobs, and for each job in a circle once more. (This is the reduction of a graph of
// reusable resources: R. C. Holt, Some Deadlock Properties of Computer Systems, 1972.)
func Circles(pools []Pool, above func(Process) []Process) (circles []Circle) {
	w := newWorld(pools, above)
	if !w.related {
		return nil // as nearly always
	}
	p := newPlay(w)
	for p.settle(); len(p.order) < len(w.jobs); {
		left := p.smallest()
		if c := w.circle(left); c != nil {
			circles = append(circles, c)
		}
		p.end(left...) // as if it were resolved
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
	in     []int // the jobs that it is a part of: they end after it
	pools  []int // that it holds slots of or waits for
}

// wwait is a place in a line: its ticket is the nth waiter of the pool.
type wwait struct {
	ticket    *Ticket
	pool, nth int
}

func newWorld(pools []Pool, above func(Process) []Process) *world {
	w := &world{pools: pools, of: map[string]int{}}
	for i, p := range pools {
		for _, h := range p.Holders {
			if h.Lease.ID != "" && h.Lease.State != Damaged {
				j := w.job(&h.Lease.Request)
				j.leases, j.pools = append(j.leases, h.Lease), append(j.pools, i)
			}
		}
		for n, t := range p.Waiters {
			if !t.Aside && t.Ticket.ID != "" {
				j := w.job(&t.Ticket.Request)
				j.waits, j.pools = append(j.waits, wwait{t.Ticket, i, n}), append(j.pools, i)
			}
		}
	}
	w.relate(above)
	return w
}

// relate finds out which jobs are parts of which.
func (w *world) relate(above func(Process) []Process) {
	of := map[Process][]int{} // the jobs of children, and of what kept leases are tied to
	for i, j := range w.jobs {
		if len(j.waits) > 0 {
			continue
		}
		for _, l := range j.leases {
			for _, p := range []*Process{l.Tied, l.Child} {
				if p != nil {
					of[*p] = append(of[*p], i)
				}
			}
		}
	}
	for k, part := range w.jobs {
		for _, x := range part.waits {
			w.part(k, x.ticket.Inside)
			w.below(k, &x.ticket.Request, of, above)
		}
		for _, x := range part.leases {
			w.part(k, x.Inside)
			if !x.Kept { // else it is kept for a process, and does not keep another lease for it from being given back
				w.below(k, &x.Request, of, above)
			}
		}
	}
}

// part notes that job k is a part of those with these leases.
func (w *world) part(k int, leases []string) {
	for _, id := range leases {
		if i, known := w.of[id]; known {
			w.partOf(k, i)
		}
	}
}

// below notes that job k is a part of those whose processes are above that of its request.
func (w *world) below(k int, r *Request, of map[Process][]int, above func(Process) []Process) {
	if len(of) == 0 {
		return
	}
	for _, p := range []*Process{&r.Owner, r.Tied} {
		if p == nil {
			continue
		}
		from := []Process{*p}
		if above != nil {
			from = append(from, above(*p)...)
		}
		for _, p := range from {
			for _, i := range of[p] {
				w.partOf(k, i)
			}
		}
	}
}

// partOf notes that job k ends before job i, which does not wait.
func (w *world) partOf(k, i int) {
	if in := &w.jobs[k].in; i != k && len(w.jobs[i].waits) == 0 && !slices.Contains(*in, i) {
		*in = append(*in, i)
		w.related = true
	}
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

// circle is the members of a group, nil if nobody waits in it or nobody holds anything.
func (w *world) circle(group []int) (c Circle) {
	holds := false
	for _, k := range group {
		j := w.jobs[k]
		if len(j.waits) == 0 {
			continue
		}
		leases := slices.Clone(j.leases)
		for _, i := range w.around(k, group) {
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
func (w *world) around(k int, group []int) (all []int) {
	for next := []int{k}; len(next) > 0; next = next[1:] {
		for _, i := range w.jobs[next[0]].in {
			if _, in := slices.BinarySearch(group, i); in && !slices.Contains(all, i) {
				all, next = append(all, i), append(next, i)
			}
		}
	}
	slices.Sort(all)
	return all
}
