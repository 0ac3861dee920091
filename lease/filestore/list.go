//go:build unix

package filestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sort"
	"time"

	"golang.org/x/sys/unix"

	"berth/lease"
)

// What is shown of a pool is read here: under a shared lock, and without a change.

// List implements lease.Store. It reads each pool under a shared lock, so that the locks
// that it tries cannot be mistaken for holders. If one process holds the pool's lock for
// Timings.Explain, it returns what the files say and who holds the lock.
func (s *Store) List(ctx context.Context, pools ...string) ([]lease.Pool, error) {
	all := len(pools) == 0
	if all {
		found, err := s.names()
		if err != nil {
			return nil, err
		}
		for _, n := range found {
			if lease.CheckPool(n) == nil {
				pools = append(pools, n)
			}
		}
		sort.Strings(pools)
	}
	list, errs := []lease.Pool{}, []error(nil)
	for _, n := range pools {
		v, err := s.view(ctx, n, (*pool).waiters)
		switch {
		case errors.Is(err, fs.ErrNotExist) && all: // it was removed since
		case errors.Is(err, fs.ErrNotExist):
			list = append(list, lease.Pool{Name: n})
		case err != nil:
			errs = append(errs, err) // of one pool: the others are listed
			list = append(list, lease.Pool{Name: n, Err: err})
		default:
			list = append(list, v)
		}
	}
	return list, errors.Join(errs...)
}

// names lists the store. A missing one is empty.
func (s *Store) names() ([]string, error) {
	root, err := s.rootDir()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return root.names()
}

// Summary implements lease.Store. Tickets are counted by their names, and only the
// first of them is read.
func (s *Store) Summary(ctx context.Context, name string, t lease.Ticket) (lease.Pool, error) {
	v, err := s.view(ctx, name, func(p *pool, v *lease.Pool, probe bool) error {
		tickets, err := p.tickets()
		own := ticketName(t.Priority, t.Seq, t.Key)
		there := slices.Contains(tickets, own)
		v.Line = len(tickets)
		before := slices.DeleteFunc(tickets, func(n string) bool { return n >= own })
		if there {
			v.Place = len(before) + 1
		}
		if there && probe && len(before) > 0 {
			v.First = p.unseen(slices.Min(before))
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return lease.Pool{Name: name}, nil
	}
	return v, err
}

// view describes a pool; tickets fills in its line. Without probe no lock may be tried.
func (s *Store) view(ctx context.Context, name string, tickets func(_ *pool, _ *lease.Pool, probe bool) error) (v lease.Pool, err error) {
	p, err := s.pool(name, false)
	if err != nil {
		return v, err
	}
	defer p.close()
	v.Name, v.Dir = name, p.identity()
	var held *lease.LockHeldError
	l, err := p.lock(ctx, unix.LOCK_SH, func(e *lease.LockHeldError) error { return e })
	switch {
	case err == nil:
		defer l.Unlock()
	case ctx.Err() == nil && errors.As(err, &held):
		v.LockHeldBy = held.Error()
	default:
		return v, err
	}
	if v.Own, err = p.ownSettings(); err != nil {
		return v, err
	}
	v.Report = p.report()
	ix, err := loadIndex(p.file)
	p.earlierBoot = err != nil || ix.boot != p.s.boot
	if !p.earlierBoot {
		if v.Starts, err = p.starts(ix); err != nil {
			return v, err
		}
	}
	if v.Holders, err = p.holders(v.LockHeldBy == ""); err != nil {
		return v, err
	}
	if err := tickets(p, &v, v.LockHeldBy == ""); err != nil {
		return v, err
	}
	v.Sum()
	return v, nil
}

// holders reads all slots in use. Without probe no lock may be tried.
func (p *pool) holders(probe bool) ([]lease.Entry, error) {
	found, err := p.names(slots)
	if err != nil {
		return nil, err
	}
	numbers := []int{}
	for _, n := range found {
		if i, ok := slotOf(n); ok {
			numbers = append(numbers, i)
		}
	}
	sort.Ints(numbers)
	// A weighted lease is in each of its slots. Only those that it still holds count: a
	// release gives them back one after the other.
	out, at, size := []lease.Entry{}, map[string]int{}, 0
	for _, i := range numbers {
		e, r := p.holder(i, probe)
		if e == nil {
			continue
		}
		if r != nil {
			if k, seen := at[e.Lease.ID]; seen {
				out[k].Lease.Slots = append(out[k].Lease.Slots, i)
				continue
			}
			at[e.Lease.ID] = len(out)
			if size += r.size; size > maxListed {
				return nil, p.tooMuch(slots)
			}
		}
		e.Lease.Slots = []int{i}
		out = append(out, *e)
	}
	return out, nil
}

// holder describes the holder of slot i, nil if there is none, and returns its record if
// it can be read.
func (p *pool) holder(i int, probe bool) (*lease.Entry, *record) {
	f, err := p.openSlot(i, reading)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return p.unreadable(i, err), nil
	}
	defer f.Close()
	locked := false
	if probe {
		if locked, err = lockedByAnother(f); err != nil {
			return p.unreadable(i, err), nil
		}
		if !locked {
			locked = p.keptByOthers(f)
		}
		if !locked {
			switch st := p.checkUnlocked(f); {
			case st.free():
				return nil, nil
			case st.err != nil:
				return p.unreadable(i, st.err), nil
			default:
				return p.holding(i, st.record)
			}
		}
	}
	r, err := readRecord(f)
	for try := 0; (err != nil || r == nil) && locked && try < 3; try++ {
		// It was read while it was being written, or between two steps of a release.
		time.Sleep(time.Millisecond)
		r, err = readRecord(f)
		if locked, _ = lockedByAnother(f); !locked {
			return nil, nil
		}
	}
	switch {
	case err != nil:
		return p.unreadable(i, err), nil
	case r == nil && locked:
		return p.unreadable(i, errors.New("its lock is held, and the holder has not written its record")), nil
	case r == nil || r.lease == nil:
		return nil, nil
	}
	return p.holding(i, r)
}

// holding is the entry of a slot with that record. One of another pool was put there by somebody:
// what is meant for this pool would be told to a job of that one.
func (p *pool) holding(i int, r *record) (*lease.Entry, *record) {
	if r.lease != nil && r.lease.Pool != p.name {
		return p.unreadable(i, fmt.Errorf("it is that of a lease of pool %q", r.lease.Pool)), nil
	}
	return p.entry(r), r
}

// keptByOthers reports whether f is the slot of a kept lease, which is locked for sharing. Other
// lists try the lock, too. So a lock that is taken is believed if the keeper or the adopter lives,
// and is tried again if not. A pause for each slot would hold up all who want the pool's lock.
func (p *pool) keptByOthers(f *os.File) bool {
	r, err := readRecord(f)
	if err != nil || r == nil || r.lease == nil || !r.lease.Kept {
		return false
	}
	for try := 0; try < 5; try++ {
		if got, err := tryLock(f); got || err != nil {
			_ = unlock(f)
			return false
		}
		if p.s.opts.Alive(r.lease.Owner) || r.adopter != nil && p.s.opts.Alive(*r.adopter) {
			return true
		}
		time.Sleep(p.s.opts.KeptCheck)
	}
	return true
}

// entry describes a lease.
func (p *pool) entry(r *record) *lease.Entry {
	e := &lease.Entry{Lease: r.lease, HeartbeatAge: -1}
	if r.heartbeat != nil && r.lease.Owner.Boot == p.s.opts.Boot { // else they are on another clock
		if r.lease.Heartbeat > 0 {
			e.HeartbeatAge = max(0, p.s.Clock().Sub(r.heartbeat.Beat))
		}
		e.Keepalive = max(r.heartbeat.Keepalive, p.readKeepalive(r.lease)) // its berth may not have read it yet
	}
	e.KeepaliveNote = p.readKeepaliveNote(r.lease)
	p.setState(e)
	return e
}

// setState replaces the state of the record by orphaned or stalled.
func (p *pool) setState(e *lease.Entry) {
	l := e.Lease
	here := p.s.isLocal(l.Owner)
	if l.Kept && here && p.setKeptState(e) {
		return
	}
	switch {
	case here && !p.s.opts.Alive(l.Owner):
		l.State = lease.Orphaned
		if l.Child == nil { // its berth was killed while it started its command
			l.Child = p.s.opts.Started(l.ID)
		}
	case here && l.Heartbeat > 0 && p.s.opts.Frozen(l.Owner):
		l.State, e.Note = lease.Stalled, fmt.Sprintf("its berth (pid %d) is stopped", l.Owner.PID)
	case e.HeartbeatAge > 3*l.Heartbeat && l.Heartbeat > 0:
		l.State = lease.Stalled
	}
}

// setKeptState reports whether there is nothing more to say. An adopter that lives takes the
// place of the owner: it renews the lease, and is told what the lease is told.
func (p *pool) setKeptState(e *lease.Entry) bool {
	l := e.Lease
	r := &record{lease: l, adopter: l.Adopter, child: l.Child}
	by, state := p.adopted(r)
	if by == nil { // what is recorded of an adoption is over
		l.Adopter, l.Child, l.State = nil, nil, lease.Reserved
		return false
	}
	l.Child = by.Child
	switch {
	case state == unclear:
		e.Note = fmt.Sprintf("the berth (pid %d) that has adopted it was killed", by.Adopter.PID)
	case !p.s.opts.Alive(by.Adopter):
		l.State = lease.Orphaned
	case p.s.opts.Frozen(by.Adopter):
		l.State, e.Note = lease.Stalled, fmt.Sprintf("its berth (pid %d) is stopped", by.Adopter.PID)
	case !p.s.opts.Alive(l.Owner):
		e.Note = fmt.Sprintf("its keeper (pid %d) is gone", l.Owner.PID)
	}
	return true
}

func (p *pool) unreadable(i int, err error) *lease.Entry {
	return &lease.Entry{
		Lease:        &lease.Lease{Slots: []int{i}, State: lease.Damaged, Request: lease.Request{Pool: p.name, Weight: 1}},
		HeartbeatAge: -1,
		Note:         fmt.Sprintf("%s: %v; remove it when no job of pool %s runs any more", p.slotPath(i), withoutPath(err), p.name),
	}
}

// withoutPath is for messages that name the path already.
func withoutPath(err error) error {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// waiters reads all tickets into v. Without probe their locks do not count.
func (p *pool) waiters(v *lease.Pool, probe bool) error {
	tickets, err := p.tickets()
	if err != nil {
		return err
	}
	sort.Strings(tickets)
	v.Waiters = []lease.Entry{}
	size := 0
	for _, n := range tickets {
		t, err := p.readTicket(n, false)
		if err != nil {
			return err
		}
		if size += t.size; size > maxListed {
			return p.tooMuch(line)
		}
		if t.ticket == nil || probe && t.state == dead {
			continue
		}
		e := lease.Entry{Ticket: t.ticket, HeartbeatAge: -1}
		switch {
		case !probe:
		case t.state == frozenPassed || t.state == stoodAside:
			e.Aside, e.Note = true, "stopped"
		case t.state.isKept():
			e.Aside, e.Note = true, "place kept for its key"
		case !p.s.isLocal(t.ticket.Owner):
			e.Note = unseenNote
		}
		v.Waiters = append(v.Waiters, e)
	}
	return nil
}

// tooMuch bounds a list, which is kept in memory: any writer of the store may fill it.
func (p *pool) tooMuch(where string) error {
	return &fs.PathError{Op: "list", Path: p.path(where), Err: fmt.Errorf("has records of more than %d MB, which is more than a list reads; remove those that are not of berth", maxListed>>20)}
}

// unseenNote is about a waiter of another machine, container or pid namespace. Those here cannot
// see whether it is stopped, so they do not pass it then.
const unseenNote = "cannot be seen from here, so it holds up the line when it is stopped"

// unseen returns the waiter of a ticket if it cannot be seen from here.
func (p *pool) unseen(name string) *lease.Entry {
	t, err := p.readTicket(name, false)
	if err != nil || t.state != standing || t.ticket == nil || p.s.isLocal(t.ticket.Owner) {
		return nil
	}
	return &lease.Entry{Ticket: t.ticket, HeartbeatAge: -1, Note: unseenNote}
}
