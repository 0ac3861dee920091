//go:build unix

package filestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"berth/lease"
)

// Stop implements lease.Store.
func (s *Store) Stop(ctx context.Context, id string, stop lease.Stop) (lease.Entry, error) {
	var e lease.Entry
	err := s.find(ctx, id, func(p *pool, f *os.File, r *record) error {
		e = lease.Entry{Lease: r.lease, Ticket: r.ticket, Beat: -1}
		if r.lease != nil {
			p.state(&e)
		}
		return appendLine(f, note{Stop: &stop})
	})
	return e, err
}

// Keepalive implements lease.Store. It needs no lock: nobody else writes these
// bytes, and the lease was found where the pool's lock said it was.
func (s *Store) Keepalive(ctx context.Context, id string) error {
	return s.find(ctx, id, func(_ *pool, f *os.File, r *record) error {
		if r.lease == nil {
			return fmt.Errorf("%s is still waiting: %w", id, lease.ErrNotFound)
		}
		_, err := f.WriteAt(fmt.Appendf(nil, "%20d", s.Clock()), keepaliveAt)
		return err
	})
}

// find calls fn, under the pool's lock, with the open file that holds the
// record id. Records of jobs that are over do not count.
func (s *Store) find(ctx context.Context, id string, fn func(*pool, *os.File, *record) error) error {
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
			if found, err := p.try(p.slotPath(i), id, fn); found || err != nil {
				return err
			}
		}
		tickets, err := names(p.path("line"))
		if err != nil {
			return err
		}
		for _, n := range tickets {
			if found, err := p.try(p.ticketPath(n), id, fn); found || err != nil {
				return err
			}
		}
		return fmt.Errorf("%s: %w", id, lease.ErrNotFound)
	})
}

// try calls fn if the file at path is the record id.
func (p *pool) try(path, id string, fn func(*pool, *os.File, *record) error) (bool, error) {
	f, err := p.s.openFile(path, false, false)
	if err != nil {
		return false, nil // what cannot be opened is not the one we look for
	}
	defer f.Close()
	r, err := readRecord(f)
	if err != nil || r == nil {
		return false, nil
	}
	if (r.lease != nil && r.lease.ID == id) || (r.ticket != nil && r.ticket.ID == id) {
		return true, fn(p, f, r)
	}
	return false, nil
}
