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

// Stop implements lease.Store. A ticket that only its key keeps has nobody who
// could follow: it is removed.
func (s *Store) Stop(ctx context.Context, id string, stop lease.Stop) (lease.Entry, error) {
	var e lease.Entry
	err := s.find(ctx, id, func(m match) error {
		e = lease.Entry{Lease: m.lease, Ticket: m.ticket, Beat: -1}
		if m.lease != nil {
			m.pool.state(&e)
		} else if st, err := m.pool.lookTicket(m.name); err == nil && st.orphan {
			if err := m.pool.willRemove(m.ix); err != nil {
				return err
			}
			if err := m.pool.remove(m.where, m.name); err != nil {
				return err
			}
			m.ix.line--
			return nil
		}
		f, _, err := m.pool.openID(m.where, m.name, id, writing)
		if err != nil {
			return err
		}
		defer f.Close()
		return appendLine(f, note{Stop: &stop})
	})
	return e, err
}

// Keepalive implements lease.Store.
func (s *Store) Keepalive(ctx context.Context, id string) error {
	return s.find(ctx, id, func(m match) error {
		if m.lease == nil {
			return fmt.Errorf("%s is still waiting: %w", id, lease.ErrNotFound)
		}
		f, _, err := m.pool.openID(m.where, m.name, id, writing)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.WriteAt(fmt.Appendf(nil, "%20d", s.Clock()), keepaliveAt)
		return err
	})
}

// match is where a record was found.
type match struct {
	*record
	pool        *pool
	ix          *index
	where, name string
}

// find calls fn, under the pool's lock, with the record id. Records of jobs
// that are over do not count. It looks without writing: each slot that is
// closed after writing wakes the head of the line.
func (s *Store) find(ctx context.Context, id string, fn func(match) error) error {
	name, err := lease.PoolOf(id)
	if err != nil {
		return err
	}
	p, err := s.pool(name, false)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", id, lease.ErrNotFound)
	}
	if err != nil {
		return err
	}
	defer p.close()
	return p.locked(ctx, func(ix *index) error {
		for i, limit := range ix.limits {
			if limit == 0 || p.look(i).free() {
				continue
			}
			n := strconv.Itoa(i)
			if r := p.readID(slots, n, id); r != nil {
				return fn(match{r, p, ix, slots, n})
			}
		}
		tickets, err := p.tickets()
		if err != nil {
			return err
		}
		for _, n := range tickets {
			if r := p.readID(line, n, id); r != nil {
				return fn(match{r, p, ix, line, n})
			}
		}
		return fmt.Errorf("%s: %w", id, lease.ErrNotFound)
	})
}

// readID returns the record in a file if it is that of id. What cannot be opened
// or read is not the one that is looked for.
func (p *pool) readID(where, name, id string) *record {
	f, r, err := p.openID(where, name, id, reading)
	if err != nil {
		return nil
	}
	f.Close()
	return r
}

// openID opens a file that has the record of id; else it is lease.ErrNotFound.
func (p *pool) openID(where, name, id string, to purpose) (*os.File, *record, error) {
	f, err := p.openFile(where, name, to)
	if err != nil {
		return nil, nil, err
	}
	r, err := readRecord(f)
	if err != nil || r == nil || (r.lease == nil || r.lease.ID != id) && (r.ticket == nil || r.ticket.ID != id) {
		f.Close()
		return nil, nil, fmt.Errorf("%s: %w", id, lease.ErrNotFound)
	}
	return f, r, nil
}
