//go:build unix

package filestore

import (
	"bytes"
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
func (s *Store) keepalive(ctx context.Context, id, note string) (e lease.Entry, err error) {
	p, err := s.poolOf(id)
	if err != nil {
		return e, err
	}
	defer p.close()
	if a := p.guess(id); a.where == slots {
		if r := p.readID(a, id); r != nil && r.lease != nil && p.s.runs(r) {
			return lease.Entry{Lease: r.lease, HeartbeatAge: -1}, p.keepAlive(r.lease, note)
		}
	}
	err = s.find(ctx, id, func(m match) error {
		if m.lease == nil {
			return lease.WaitsError(id)
		}
		e = m.entry()
		return p.keepAlive(m.lease, note)
	})
	return e, err
}

// keepAlive saves that the job of l has called now, and its note if it has one.
func (p *pool) keepAlive(l *lease.Lease, note string) error {
	if err := p.writeKeepalive(l, p.s.Clock()); err != nil || note == "" {
		return err
	}
	return p.writeKeepaliveNote(l, note)
}

// runs reports whether a process of a lease is known to live.
func (s *Store) runs(r *record) bool {
	return s.opts.Alive(r.lease.Owner) || r.child != nil && s.opts.Alive(*r.child) || r.adopter != nil && s.opts.Alive(*r.adopter)
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

// Notes of keepalives are in another file, which most pools never have: a berth that does not
// know them takes the file keepalive for its own only if there are but numbers in it. A record
// may lie across two pages and be torn by a kill, or by two calls at once, so it has a checksum;
// one that does not add up is no note.
const (
	noteHead = "%20d %4d %016x "
	noteAt   = 20 + 1 + 4 + 1 + 16 + 1
	noteLen  = 1088
)

func (p *pool) writeKeepaliveNote(l *lease.Lease, note string) error {
	f, err := p.openFile(top, "notes", creating)
	if err != nil {
		return err
	}
	defer f.Close()
	b := fmt.Appendf(nil, noteHead+"%s", l.Token, len(note), noteSum(l.Token, note), note)
	b = append(b, bytes.Repeat([]byte(" "), noteLen-1-len(b))...)
	_, err = f.WriteAt(append(b, '\n'), int64(l.Slots[0])*noteLen)
	return err
}

// readKeepaliveNote is the last note that the job of l has left, "" if there is none.
func (p *pool) readKeepaliveNote(l *lease.Lease) string {
	f, err := p.openFile(top, "notes", reading)
	if err != nil {
		return ""
	}
	defer f.Close()
	b := make([]byte, noteLen)
	if _, err := f.ReadAt(b, int64(l.Slots[0])*noteLen); err != nil {
		return ""
	}
	var token, sum uint64
	var n int
	if got, _ := fmt.Sscanf(string(b[:noteAt]), "%d %d %x", &token, &n, &sum); got < 3 || token != l.Token || n < 0 || n > lease.MaxNote {
		return ""
	}
	if note := string(b[noteAt : noteAt+n]); sum == noteSum(token, note) {
		return note
	}
	return ""
}

func noteSum(token uint64, note string) uint64 { return hash(fmt.Appendf(nil, "%d %s", token, note)) }

// areNotes checks the content of the file: each record ends its line, or was never written.
func areNotes(b []byte) bool {
	for i := noteLen - 1; i < len(b); i += noteLen {
		if b[i] != '\n' && b[i] != 0 {
			return false
		}
	}
	return len(b)%noteLen == 0 || len(b) > maxRecord
}
