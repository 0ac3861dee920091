//go:build unix

package filestore

import (
	"errors"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"berth/lease"
)

// slotState is what a look at one slot found.
type slotState struct {
	locked bool    // somebody holds it
	record *record // nil: empty, or not readable
	orphan bool    // not locked, but the recorded child lives
	err    error   // it cannot be opened, or its record not be read
}

// leaving: its release is under way, or it died in there. No job has such a slot:
// marks are made, and leases written, under the pool's lock or at the end.
func (st slotState) leaving() bool { return st.locked && st.record == nil }

func (st slotState) free() bool { return !st.locked && !st.orphan && st.err == nil }

// damaged: what is there may stand for a job, and nobody can tell.
func (st slotState) damaged() bool {
	var foreign notOursError
	return errors.As(st.err, &foreign) || errors.Is(st.err, errGarbage) || errors.Is(st.err, errNewer)
}

// asks is what the index says of a slot in use.
func (st slotState) asks() int {
	if st.record != nil && st.record.lease != nil {
		if asks := st.record.lease.Asks; asks > 0 && asks <= mostSlots {
			return asks
		}
	}
	return noLimit
}

// look finds out what slot i is in truth. It opens the file for reading, so
// that its own close does not wake the head of the line.
func (p *pool) look(i int) slotState {
	f, err := p.openSlot(i, reading)
	if errors.Is(err, fs.ErrNotExist) {
		return slotState{}
	}
	if err != nil {
		return slotState{err: err}
	}
	defer f.Close()
	// Asked as who would take it asks: a shared lock of somebody is in the way,
	// too. We have the pool's lock, so nobody else asks now.
	got, err := tryLock(f)
	if err != nil {
		return slotState{err: err}
	}
	if got {
		return p.judge(f)
	}
	// The lock says it all. Whether its child lives is a look at /proc, and before
	// there is a child one at all of it: 150 callers at once took ten times as long.
	r, _ := readRecord(f)
	return slotState{locked: true, record: r}
}

// judge reads the record of a slot whose lock is free.
func (p *pool) judge(f *os.File) slotState {
	r, err := readRecord(f)
	switch {
	case errors.Is(err, errGarbage) && p.elder && p.olderThanBoot(f):
		return slotState{} // torn by a power cut: no process is left from then
	case err != nil:
		return slotState{err: err}
	case r == nil:
		return slotState{}
	case r.lease == nil:
		return slotState{err: errGarbage}
	}
	// A child that closed what it inherited (sudo does) does not hold the
	// lock, and is a job of the pool all the same. When its berth was killed
	// before it could record it, its environment tells.
	st := slotState{record: r}
	if r.child != nil {
		st.orphan = p.s.o.Alive(*r.child)
	} else {
		st.orphan = p.startedFor(r.lease.ID) != nil
	}
	return st
}

// startedFor finds a process of a lease by its environment, which may be a look at
// every process there is, under the pool's lock. So for as long as the one that was
// found lives, it is asked for that one alone.
func (p *pool) startedFor(id string) *lease.Process {
	if found, ok := p.found.Load(id); ok && p.s.o.Alive(*found.(*lease.Process)) {
		return found.(*lease.Process)
	}
	found := p.s.o.Started(id)
	if found == nil {
		p.found.Delete(id)
	} else {
		p.found.Store(id, found)
	}
	return found
}

// Inherits reports whether this process was started with a descriptor that
// holds the lock of l's first slot.
func (s *Store) Inherits(l *lease.Lease) bool {
	p, err := s.pool(l.Pool, false)
	if err != nil {
		return false
	}
	defer p.close()
	slot, err := p.stat(slots, strconv.Itoa(l.Slots[0]))
	if err != nil {
		return false
	}
	var st unix.Stat_t
	for fd := 3; fd < 256; fd++ { // firstOwnFD, or where it went when that was not allowed
		if unix.Fstat(fd, &st) == nil && st.Dev == slot.Dev && st.Ino == slot.Ino {
			return holdsFlock(fd)
		}
	}
	return false
}

// poke wakes the head of the line, which watches for closed slot files.
func (p *pool) poke(slot string) error {
	f, err := p.openFile(slots, slot, making)
	if err != nil {
		return err
	}
	return f.Close()
}
