//go:build unix

package filestore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"berth/lease"
)

// Line implements lease.Store.
func (s *Store) Line(ctx context.Context, r lease.Request) (lease.Place, error) {
	if err := checkWeight(r.Weight); err != nil {
		return nil, err
	}
	p, err := s.pool(r.Pool, true)
	if err != nil {
		return nil, err
	}
	t := &place{pool: p}
	enter := func(ix *index) error {
		if err := t.enter(ix, r); err != nil {
			return err
		}
		_, _ = t.turn(ix) // so that Wait knows whom it is behind; TryAcquire meets an error again
		return nil
	}
	err = p.locked(ctx, enter)
	for try := 0; errors.Is(err, errTicketHeld) && ctx.Err() == nil && try < ticketTries; try++ {
		// A waiter that wakes up briefly holds the lock of the kept ticket before it. The
		// place is worth another try.
		time.Sleep(time.Millisecond)
		err = p.locked(ctx, enter)
	}
	if err != nil {
		t.lock.Unlock() // if only the index could not be saved, its ticket is swept then
		p.close()
		return nil, err
	}
	// Warm-up: the first call costs 90 µs. Here it delays no job; at a hand-over it would.
	_, _ = json.Marshal(&lease.Lease{Request: r, Slots: []int{0}, Since: time.Now()})
	return t, nil
}

// enter takes the place that is kept for the request's key, or the last one.
func (t *place) enter(ix *index, r lease.Request) error {
	if r.Key != "" {
		if ok, err := t.reclaim(ix, r); ok || err != nil {
			return err
		}
	}
	return t.join(ix, r)
}

// join makes a ticket at the end of its priority.
func (t *place) join(ix *index, r lease.Request) error {
	p := t.pool
	ix.ticket++
	ix.line++
	t.ticket = lease.Ticket{Version: lease.Version, Request: r, Seq: ix.ticket, Since: time.Now()}
	t.name = ticketName(r.Priority, ix.ticket, r.Key)
	tickets, err := p.tickets()
	if err != nil {
		return err
	}
	for _, n := range tickets {
		if n > t.name {
			ix.change++ // others are behind us from the start
			break
		}
	}
	// Counted before it is made: a count that is too high costs a scan, one that is too
	// low would let another request overtake.
	if err := ix.save(); err != nil {
		return err
	}
	for step := uint64(1); ; step *= 2 {
		err := t.writeTicket(creatingNew)
		if !errors.Is(err, fs.ErrExist) || step > 1<<20 { // a million names in a row are taken
			return err
		}
		// Something that berth did not make has that name: the index counts up before a
		// ticket is made. It must not be overwritten.
		ix.ticket += step
		t.ticket.Seq, t.name = ix.ticket, ticketName(r.Priority, ix.ticket, r.Key)
		if err := ix.save(); err != nil {
			return err
		}
	}
}

// writeTicket locks and writes the ticket's file. For the purpose
// writing, the file was kept for its key.
func (t *place) writeTicket(to purpose) error {
	f, err := t.pool.openTicket(t.name, to)
	if err != nil {
		return err
	}
	defer f.Close()
	if r, err := readRecord(f); to == writing && (err != nil || r == nil || r.ticket == nil || r.ticket.Seq != t.ticket.Seq || r.ticket.Key != t.ticket.Key) {
		return fmt.Errorf("the ticket %s was replaced", f.Name())
	}
	ok := false
	if t.lock, err = t.pool.ticketLock(t.name); err == nil {
		ok, err = t.lock.TryLock()
	}
	switch {
	case err != nil:
		_ = t.pool.removeTicket(t.name)
		return fmt.Errorf("cannot lock the ticket %s: %w", f.Name(), err)
	case !ok:
		return fmt.Errorf("cannot lock the ticket %s: %w", f.Name(), errTicketHeld)
	}
	if err := t.overwrite(f); err != nil {
		_ = t.pool.removeTicket(t.name)
		t.lock.Unlock()
		return err
	}
	return nil
}

// overwrite replaces the content of a kept ticket in one write, and then cuts off the notes
// after it. If it were cut first, a kill before the write would lose the place.
func (t *place) overwrite(f *os.File) error {
	b, err := json.Marshal(t.ticket)
	if err != nil {
		return err
	}
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	b = append(b, '\n')
	t.size = int64(len(b))
	if rest := int(fi.Size() - t.size); rest > 0 { // the reader skips blank lines
		b = append(append(b, bytes.Repeat([]byte(" "), rest-1)...), '\n')
	}
	if _, err = f.WriteAt(b, 0); err != nil || int64(len(b)) == t.size {
		return err
	}
	return f.Truncate(t.size)
}

var errTicketHeld = errors.New("it is locked")

// reclaim takes over a ticket that was kept for the request's key. It returns false if there
// is none.
func (t *place) reclaim(ix *index, r lease.Request) (bool, error) {
	p := t.pool
	tickets, err := p.tickets()
	if err != nil {
		return false, err
	}
	slices.Sort(tickets) // of several, the first place
	for _, n := range tickets {
		if !strings.HasSuffix(n, keySuffix(r.Key)) {
			continue
		}
		old, err := p.readTicket(n, false)
		if err != nil {
			return false, err
		}
		// Not that of a waiter that has only stepped aside: it will come back.
		if !old.state.isKept() || old.ticket.Key != r.Key {
			continue
		}
		t.name = n
		t.ticket = *old.ticket
		r.Priority = old.ticket.Priority // the place is what was kept
		t.ticket.Request = r
		ix.change++ // waiters that passed it are behind it again
		return true, t.writeTicket(writing)
	}
	return false, nil
}
