package job

import (
	"fmt"
	"os"
	"slices"

	"berth/cmd/text"
	"berth/lease"
	"berth/procwatch"
)

// Mark is what a berth shows of the job that it supervises, to those who look for it.
func Mark(id string) string { return "berth " + id }

// Outer returns the lease of the pool's job that we run inside, nil if there is none. self
// is this process, and inherits reports whether it has inherited the lock of a lease's slot.
// The innermost BERTH_LEASE may be of another pool, with a job of this pool around it.
func Outer(pool lease.Pool, self procwatch.ID, inherits func(*lease.Lease) bool) (*lease.Lease, error) {
	above, err := procwatch.Ancestors()
	if err != nil {
		return nil, err
	}
	above = append(above, self) // which was another command before, with --exec
	for _, h := range pool.Holders {
		if isAround(h.Lease, above) || isKeptFor(h.Lease, above) {
			return h.Lease, nil
		}
	}
	for _, h := range pool.Holders {
		// Its berth and command were killed, and we have inherited the slot's lock: we
		// would wait for ourselves.
		if inherits(h.Lease) {
			return h.Lease, nil
		}
	}
	return nil, nil
}

// Around returns the ids of all jobs of the pool that we run inside, as Outer finds one, and of
// those that we may be a part of: their ids stand in our environment, or another one of the
// pool's jobs says that it is inside them.
func Around(pool lease.Pool, self procwatch.ID, inherits func(*lease.Lease) bool) (ids []string, err error) {
	above, err := procwatch.Ancestors()
	if err != nil {
		return nil, err
	}
	above = append(above, self)
	ids = EnvLeases()
	for _, h := range pool.Holders {
		if isAround(h.Lease, above) || isKeptFor(h.Lease, above) || inherits(h.Lease) {
			ids = append(ids, h.Lease.ID)
		}
	}
	for i := 0; i < len(ids); i++ { // it grows
		for _, h := range pool.Holders {
			for _, outer := range h.Lease.Inside {
				if h.Lease.ID == ids[i] && !slices.Contains(ids, outer) {
					ids = append(ids, outer)
				}
			}
		}
	}
	return ids, nil
}

// isAround reports whether we run inside job l. Processes are the proof, not the
// environment alone, which a process can outlive, nor the record alone, which may name any
// process. Job l's command is one of our ancestors, or if we have lost it l's berth is,
// which is a subreaper and adopts orphans; and an ancestor shows that it belongs to l. What
// a shell put into the background before it became that berth has only the berth above it.
// That of a kept lease is the one that has adopted it.
func isAround(l *lease.Lease, above []procwatch.ID) bool {
	berth := l.Owner
	if l.Adopter != nil {
		berth = *l.Adopter
	}
	for _, a := range above {
		p := lease.Process(a)
		recorded := l.Child != nil
		switch {
		case recorded && p == *l.Child, !recorded && p == berth:
			return startedIn(l, above) || slices.ContainsFunc(above, func(a procwatch.ID) bool { return a.Marked(Mark(l.ID)) })
		case p == berth && startedIn(l, above):
			return true
		}
	}
	return false
}

// isKeptFor reports whether lease l was acquired for one of these processes. They show nothing
// of it, unless they were started after that, with the lease in their environment. So it is
// l's keeper that has to show that it is one, and it must belong to root, to us, or to the user
// of that process: another user could make each of our commands run in a slot of its own.
func isKeptFor(l *lease.Lease, above []procwatch.ID) bool {
	if !l.Kept || l.Tied == nil || !slices.Contains(above, procwatch.ID(*l.Tied)) {
		return false
	}
	if startedIn(l, above) {
		return true
	}
	keeper := procwatch.ID(l.Owner)
	user, known := keeper.User()
	if !known || !keeper.Marked(Mark(l.ID)) || keeper.State() == procwatch.Gone {
		return false
	}
	theirs, known := procwatch.ID(*l.Tied).User()
	return user == 0 || user == os.Getuid() || known && user == theirs
}

// startedIn reports whether one of these was started with the lease in its environment.
// Ours may name a job of another pool inside that one.
func startedIn(l *lease.Lease, above []procwatch.ID) bool {
	is := func(env []string) bool { return lease.InEnv(env, l.ID) }
	return slices.Contains(EnvLeases(), l.ID) || slices.ContainsFunc(above, func(a procwatch.ID) bool { return a.StartedWith(lease.EnvPrefix, is) })
}

// EnvLeases are the leases of the innermost job around this process, by its environment.
func EnvLeases() []string { return lease.EnvIDs(os.Getenv("BERTH_LEASE"), os.Getenv("BERTH_LEASES")) }

// Nest decides what a request does inside the job outer of its own pool, by the words of
// --nested: it runs in that job's slot (which is returned), takes one of its own (nil), or
// neither (*NestedError). own is the pool's own limit.
func Nest(r lease.Request, how string, outer *lease.Lease, own *int) (*lease.Lease, error) {
	most := lease.Smallest(own, outer.RequestedLimit, r.LimitIn(own))
	switch {
	case how == "take" && most > 0 && len(outer.Slots)+r.Weight > most:
		return nil, &NestedError{outer, how, r.Kept, fmt.Sprintf("and would wait for it: %d more is over the limit of %d", r.Weight, most)}
	case how == "take":
		return nil, nil
	case how == "fail":
		return nil, &NestedError{outer, how, r.Kept, "and --nested=fail was given"}
	case r.Weight > len(outer.Slots):
		return nil, &NestedError{outer, how, r.Kept, fmt.Sprintf("but has only %s, not --weight %d", text.Plural(len(outer.Slots), "slot"), r.Weight)}
	case r.IdleTimeout > 0:
		return nil, &NestedError{outer, how, r.Kept, "and 'berth keepalive' would reset its idle clock, not that of --idle-timeout here"}
	}
	return outer, nil
}

// NestedError says that a request is inside another job of its pool and cannot start.
type NestedError struct {
	Outer *lease.Lease
	How   string // the --nested of the request
	Kept  bool   // it is one of 'berth acquire', which runs nothing in the slot of that job
	Why   string
}

func (e *NestedError) Error() string {
	return fmt.Sprintf("this runs inside job %s, which holds slot %s of the same pool, %s", e.Outer.ID, text.SlotList(e.Outer.Slots), e.Why)
}
