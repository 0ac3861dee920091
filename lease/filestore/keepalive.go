//go:build unix

package filestore

import (
	"context"
	"fmt"

	"berth/lease"
	"berth/lease/clock"
)

// Keepalives are in a file of their own, with a record of a fixed length for each slot: the
// token of the lease, and the time on the boot clock. In the slot's file each would wake the
// head of the line, because closing a slot's file after a write is how the head
// learns that a holder has ended.
//
// The file needs no lock. A record lies within a page, so it is never torn, and a late one
// has another token than the slot's next lease. A lease with an idle time-out gets its
// record when it is granted, so that a full disk later does not end its job.

const (
	keepaliveFmt = "%20d %20d"
	keepaliveLen = 64 // so many fill a page
)

// keepalive is Tell of a keepalive. It does not wait for the pool's lock if it finds that
// the job lives.
func (s *Store) keepalive(ctx context.Context, id string) (e lease.Entry, err error) {
	p, err := s.poolOf(id)
	if err != nil {
		return e, err
	}
	defer p.close()
	if a := p.guess(id); a.where == slots {
		if r := p.readID(a, id); r != nil && r.lease != nil && p.s.runs(r) {
			return lease.Entry{Lease: r.lease, HeartbeatAge: -1}, p.writeKeepalive(r.lease, s.Clock())
		}
	}
	err = s.find(ctx, id, func(m match) error {
		if m.lease == nil {
			return fmt.Errorf("%s is still waiting: %w", id, lease.ErrNotFound)
		}
		e = m.entry()
		return p.writeKeepalive(m.lease, s.Clock())
	})
	return e, err
}

// runs reports whether a process of a lease is known to live.
func (s *Store) runs(r *record) bool {
	return s.opts.Alive(r.lease.Owner) || r.child != nil && s.opts.Alive(*r.child)
}

// writeKeepalive saves when the job of l has called; 0 means never.
func (p *pool) writeKeepalive(l *lease.Lease, at clock.Instant) error {
	f, err := p.openFile(top, "keepalive", creating)
	if err != nil {
		return err
	}
	defer f.Close()
	b := fmt.Sprintf("%-*s\n", keepaliveLen-1, fmt.Sprintf(keepaliveFmt, l.Token, at))
	_, err = f.WriteAt([]byte(b), int64(l.Slots[0])*keepaliveLen)
	return err
}

// readKeepalive is when the job of l has last called, 0 if never.
func (p *pool) readKeepalive(l *lease.Lease) clock.Instant {
	f, err := p.openFile(top, "keepalive", reading)
	if err != nil {
		return 0
	}
	defer f.Close()
	b := make([]byte, keepaliveLen)
	if _, err := f.ReadAt(b, int64(l.Slots[0])*keepaliveLen); err != nil {
		return 0
	}
	var token uint64
	var at clock.Instant
	if n, _ := fmt.Sscanf(string(b), "%d %d", &token, &at); n < 2 || token != l.Token || at < 0 {
		return 0
	}
	return at
}
