//go:build unix

package filestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"berth/lease"
)

// Tell implements lease.Store. A ticket that only its key keeps has no waiter that could
// leave, so a stop removes it. To wake a waiter that stands behind others is the caller's
// part: it signals the process of the entry.
func (s *Store) Tell(ctx context.Context, id string, m lease.Message) (e lease.Entry, err error) {
	if err := m.Check(); err != nil {
		return e, err
	}
	if m.Kind == lease.MessageKeepalive {
		return s.keepalive(ctx, id, m.Note)
	}
	line, err := noteOf(m)
	if err != nil {
		return e, err
	}
	err = s.find(ctx, id, func(f match) error {
		switch {
		case f.lease == nil && m.ForHolder():
			return lease.WaitsError(id)
		case f.lease != nil && m.ForWaiter():
			return lease.HoldsError(id)
		}
		e = f.entry()
		if f.ticket != nil {
			if t, err := f.pool.readTicket(f.name, false); err == nil && (t.state.isKept() || t.state == dead) {
				return f.pool.drop(f)
			}
		}
		at := f.location
		if f.lease != nil { // its owner reads the record of its first slot alone
			at.name = strconv.Itoa(f.lease.Slots[0])
		}
		file, _, err := f.pool.openID(at, id, writing)
		if err != nil {
			return err
		}
		defer file.Close()
		return appendLine(file, line)
	})
	return e, err
}

// entry is the record as a list has it.
func (m match) entry() lease.Entry {
	e := lease.Entry{Lease: m.lease, Ticket: m.ticket, HeartbeatAge: -1}
	if m.lease != nil {
		m.pool.setState(&e)
	}
	return e
}

// drop removes a ticket.
func (p *pool) drop(m match) error {
	if err := p.announceRemoval(m.ix); err != nil {
		return err
	}
	if err := p.remove(m.location.where, m.name); err != nil {
		return err
	}
	m.ix.line = max(0, m.ix.line-1) // files may have been made or removed by hand
	return nil
}

// match is where a record was found.
type match struct {
	*record
	pool *pool
	ix   *index
	location
}

// find calls fn, under the pool's lock, with the record of id. Records of jobs that have
// ended do not count. Files are opened for reading: to close one that was open for
// writing would wake the head of the line.
func (s *Store) find(ctx context.Context, id string, fn func(match) error) error {
	p, err := s.poolOf(id)
	if err != nil {
		return err
	}
	defer p.close()
	return p.find(ctx, id, fn)
}

func (p *pool) find(ctx context.Context, id string, fn func(match) error) error {
	near := p.guess(id) // before the lock: it may read the whole pool
	return p.locked(ctx, func(ix *index) error {
		if r := p.inUse(ix, near, id); r != nil {
			return fn(match{r, p, ix, near})
		}
		all, err := p.locations(ix)
		if err != nil {
			return err
		}
		for _, a := range all {
			if r := p.inUse(ix, a, id); r != nil {
				return fn(match{r, p, ix, a})
			}
		}
		return notFound(id)
	})
}

func notFound(id string) error { return fmt.Errorf("%s: %w", id, lease.ErrNotFound) }

// poolOf opens the pool of an id.
func (s *Store) poolOf(id string) (*pool, error) {
	name, err := lease.PoolOf(id)
	if err != nil {
		return nil, err
	}
	p, err := s.pool(name, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, notFound(id)
	}
	return p, err
}

// location is a record's file: its directory in the pool, and its name.
type location struct{ where, name string }

// locations lists the tickets, and the slots that the index has in use.
func (p *pool) locations(ix *index) (all []location, err error) {
	for i, limit := range ix.limits {
		if limit != 0 {
			all = append(all, location{slots, strconv.Itoa(i)})
		}
	}
	tickets, err := p.tickets()
	for _, n := range tickets {
		all = append(all, location{line, n})
	}
	return all, err
}

// guess returns where the record of id probably is. It works without the pool's lock, so the
// record may have moved since. Without a hint it reads all records, first those of the
// line, because a request goes from there into a slot.
func (p *pool) guess(id string) location {
	if i, ok := p.s.opts.SlotOf(id); ok && i >= 0 {
		return location{slots, strconv.Itoa(i)}
	}
	for _, where := range []string{line, slots} {
		names, _ := p.names(where)
		for _, n := range names {
			if p.readID(location{where, n}, id) != nil {
				return location{where, n}
			}
		}
	}
	return location{}
}

// inUse returns the record of id if it is at a and has not ended. It needs the pool's lock.
func (p *pool) inUse(ix *index, a location, id string) *record {
	if a.where == slots {
		i, err := strconv.Atoi(a.name)
		if err != nil || i < 0 || i >= len(ix.limits) || ix.limits[i] == 0 || p.checkSlot(i).free() {
			return nil
		}
	}
	if a.name == "" {
		return nil
	}
	return p.readID(a, id)
}

// readID returns the record at a if it is that of id. One that cannot be read is not.
func (p *pool) readID(a location, id string) *record {
	f, r, err := p.openID(a, id, reading)
	if err != nil {
		return nil
	}
	f.Close()
	return r
}

// openID opens the file at a. If it has another record than that of id, the error is
// lease.ErrNotFound.
func (p *pool) openID(a location, id string, to purpose) (*os.File, *record, error) {
	f, err := p.openFile(a.where, a.name, to)
	if err != nil {
		return nil, nil, err
	}
	r, err := readRecord(f)
	if err != nil || r == nil || (r.lease == nil || r.lease.ID != id) && (r.ticket == nil || r.ticket.ID != id) {
		f.Close()
		return nil, nil, notFound(id)
	}
	return f, r, nil
}
