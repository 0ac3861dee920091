package lease

import (
	"slices"
	"strings"
)

// InOrder are the requests of one job in the order in which their slots are taken, each while
// those before it are held: that of the names of the pools. Because every job keeps to this
// order, no circle of jobs can come about in which each waits for slots that the next one holds:
// of all that wait, the one that waits for the last of the names waits only for jobs that hold
// all they need, and these end. (The hierarchical allocation of resources: J. W. Havender,
// Avoiding Deadlock in Multitasking Systems, 1968.)
func InOrder(requests []Request) []Request {
	ordered := slices.Clone(requests)
	slices.SortFunc(ordered, func(a, b Request) int { return strings.Compare(a.Pool, b.Pool) })
	return ordered
}

// After are the ids of those requests of Together whose slots are taken after those of r.
func (r Request) After() (ids []string) {
	for _, id := range r.Together {
		if pool, err := PoolOf(id); err == nil && pool > r.Pool {
			ids = append(ids, id)
		}
	}
	return ids
}

// Before are the ids of those requests of Together whose slots are taken before those of r: the
// job of r holds them while r waits.
func (r Request) Before() (ids []string) {
	for _, id := range r.Together {
		if pool, err := PoolOf(id); err == nil && pool < r.Pool {
			ids = append(ids, id)
		}
	}
	return ids
}
