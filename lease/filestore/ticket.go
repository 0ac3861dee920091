//go:build unix

package filestore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"berth/lease"
)

// ticketName sorts by priority, then by arrival. It ends with a hash of the key, so that a
// request finds its kept ticket without opening all of them.
func ticketName(priority int, seq uint64, key string) string {
	name := fmt.Sprintf("%02d-%012d", priority+20, seq)
	if key != "" {
		name += keySuffix(key)
	}
	return name
}

func keySuffix(key string) string { return "-" + strconv.FormatUint(hash([]byte(key)), 16) }

// seqOf returns the number in a ticket's name, and false for a name that no ticket has.
func seqOf(name string) (uint64, bool) {
	priority, rest, _ := strings.Cut(name, "-")
	number, key, keyed := strings.Cut(rest, "-")
	seq, err := strconv.ParseUint(number, 10, 64)
	_, perr := strconv.ParseUint(priority, 10, 8)
	_, kerr := strconv.ParseUint(key, 16, 64)
	return seq, err == nil && seq < maxSeq && perr == nil && len(priority) == 2 && len(number) == 12 && (kerr == nil || !keyed)
}

// maxSeq bounds the number in a ticket's name. It is below the largest that fits into a name,
// so that later tickets fit, too.
const maxSeq = 900_000_000_000

// tickets lists the tickets, without sorting. Files with other names are not tickets.
func (p *pool) tickets() ([]string, error) {
	found, err := p.names(line)
	return slices.DeleteFunc(found, func(n string) bool {
		_, ok := seqOf(n)
		return !ok
	}), err
}

func (p *pool) openTicket(name string, to purpose) (*os.File, error) {
	return p.openFile(line, name, to)
}

func (p *pool) ticketLock(name string) (*fileLock, error) {
	d, err := p.in(line, false)
	if err != nil {
		return nil, err
	}
	l := d.lockOf(name)
	return l, l.open()
}

// ticketState says whether there is a waiter behind a ticket, and if not, why the
// ticket is still there.
type ticketState int

const (
	// dead: left by a waiter that was killed, or kept for a key for too long.
	dead ticketState = iota
	// standing: its waiter lives and waits for its turn.
	standing
	// frozen: its waiter waits, but is stopped, and no other has noted that.
	frozen
	// frozenPassed: the same, noted by a waiter that has passed it.
	frozenPassed
	// stoodAside: its waiter lives, does not want to be waited for, and keeps its place.
	stoodAside
	// kept: its waiter is gone, and its key keeps the place. The grace begins when
	// a waiter notes that.
	kept
	// keptNoted: the grace has begun.
	keptNoted
	// foreign: no waiter of this pool wrote it. It is no place in the line, and stays.
	foreign
)

// isKept: only a key keeps the place.
func (s ticketState) isKept() bool { return s == kept || s == keptNoted }

// ticketInfo is one ticket, read.
type ticketInfo struct {
	state  ticketState
	ticket *lease.Ticket // nil: it has not been written yet, or is foreign
	stop   *lease.Stop
	size   int // of its file
}

// readTicket reads a ticket and finds out its state. With checkFrozen it also finds out
// whether its waiter is stopped where no other has noted that. A ticket that cannot be
// read is an error, because its waiter may live.
func (p *pool) readTicket(name string, checkFrozen bool) (t ticketInfo, err error) {
	f, err := p.openTicket(name, reading)
	var notOurs notOursError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return t, nil
	case errors.As(err, &notOurs):
		return ticketInfo{state: foreign}, nil
	case err != nil:
		return t, err
	}
	defer f.Close()
	locked, err := lockedByAnother(f)
	if err != nil {
		return t, err
	}
	b, err := readAll(f)
	if err != nil {
		return t, err
	}
	t.size = len(b)
	r, err := parseRecord(b)
	if err == nil && r != nil && r.ticket != nil && p.isOurs(r.ticket.ID) {
		t.ticket, t.stop = r.ticket, r.stop
		t.state = p.stateOf(r, locked, checkFrozen)
		return t, nil
	}
	switch {
	case locked: // its waiter has not written it yet
		t.state = standing
	case errors.Is(err, errNewer) || !p.halfWritten(b):
		t.state = foreign
	}
	return t, nil
}

// stateOf returns the state of a ticket with this record, whose file is locked or not.
func (p *pool) stateOf(r *record, locked, checkFrozen bool) ticketState {
	a := r.aside
	aside := a != nil && !a.Back
	noted := a != nil && a.Gone
	switch {
	case locked && aside && p.s.opts.Frozen(r.ticket.Owner):
		return frozenPassed
	case locked && !aside && checkFrozen && p.s.opts.Frozen(r.ticket.Owner):
		return frozen
	case locked:
		return standing
	case !noted && p.s.opts.Alive(r.ticket.Owner) && (aside || r.ticket.Key != "" && r.stop == nil):
		return stoodAside
	case r.ticket.Key == "" || r.stop != nil:
		return dead
	case !noted:
		return kept
	case p.inGrace(r):
		return keptNoted
	default:
		return dead
	}
}

func (p *pool) isOurs(id string) bool { return strings.HasPrefix(id, p.name+"/") }

// halfWritten reports whether a waiter of this pool was killed before it had written its
// ticket, or a power cut or a full disk left a part of it, or NULs.
func (p *pool) halfWritten(b []byte) bool {
	begin := fmt.Appendf(nil, `{"v":%d,"id":"%s/`, lease.Version, p.name)
	return len(bytes.Trim(b, "\x00")) == 0 || bytes.HasPrefix(b, begin) && !bytes.Contains(b, []byte("\n"))
}

func (p *pool) inGrace(r *record) bool {
	a := r.aside
	return a.Boot == p.s.opts.Boot && p.s.Clock().Sub(a.Left) < r.ticket.Grace
}

// noteAside appends to a ticket. If that fails, the next waiter that reads the ticket tries again.
func (p *pool) noteAside(name string, a *aside) error {
	f, err := p.openTicket(name, writing)
	if err != nil {
		return err
	}
	defer f.Close()
	if r, err := readRecord(f); err != nil || r == nil || r.ticket == nil || !p.isOurs(r.ticket.ID) {
		return fmt.Errorf("%s is no ticket of pool %s", f.Name(), p.name)
	}
	return appendLine(f, note{Aside: a})
}

// asideNow is a note with the current time; gone says that the waiter has ended.
func (p *pool) asideNow(gone bool) *aside {
	return &aside{Left: p.s.Clock(), Boot: p.s.opts.Boot, Gone: gone}
}
