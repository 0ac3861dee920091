//go:build unix

package filestore

import (
	"errors"
	"io/fs"
	"os"
	"strconv"

	"berth/lease"
)

// A slot is free if its file is not locked and its record names no living process.

// slotState is what a check of one slot found.
type slotState struct {
	locked bool
	record *record // nil: empty, or it cannot be read
	orphan bool    // not locked, but the recorded child lives
	err    error   // it cannot be opened, or its record cannot be read
}

// beingReleased reports whether the slot is marked free and still locked: its holder is
// releasing it, or died while releasing it. No job has such a slot: it is marked only after the
// job, and a lease is written under the pool's lock.
func (st slotState) beingReleased() bool { return st.locked && st.record == nil }

func (st slotState) free() bool { return !st.locked && !st.orphan && st.err == nil }

// damaged reports whether something is there that may stand for a job.
func (st slotState) damaged() bool {
	var foreign notOursError
	return errors.As(st.err, &foreign) || errors.Is(st.err, errGarbage) || errors.Is(st.err, errNewer)
}

// limit is what the index says of a slot in use: the limit that its lease requests.
func (st slotState) limit() int {
	if st.record != nil && st.record.lease != nil {
		if limit := st.record.lease.RequestedLimit; limit > 0 && limit <= maxSlots {
			return limit
		}
	}
	return noLimit
}

// checkSlot finds out the state of slot i. It needs the pool's lock. It opens the file for
// reading, so that its own close does not wake the head of the line.
func (p *pool) checkSlot(i int) slotState {
	f, err := p.openSlot(i, reading)
	if errors.Is(err, fs.ErrNotExist) {
		return slotState{}
	}
	if err != nil {
		return slotState{err: err}
	}
	defer f.Close()
	// An exclusive lock, like one that takes the slot: another process's shared lock is
	// in the way, too. No other check sees ours, because each has the pool's lock.
	got, err := tryLock(f)
	if err != nil {
		return slotState{err: err}
	}
	if got {
		return p.checkUnlocked(f)
	}
	// Whether its child lives does not matter then. To find out means to read /proc, and
	// before there is a child, all of it: 150 callers at once took ten times as long.
	r, _ := readRecord(f)
	return slotState{locked: true, record: r}
}

// checkUnlocked reads the record of a slot whose lock is free.
func (p *pool) checkUnlocked(f *os.File) slotState {
	r, err := readRecord(f)
	switch {
	case errors.Is(err, errGarbage) && p.earlierBoot && p.olderThanBoot(f):
		return slotState{} // torn by a power cut: no process is left from then
	case err != nil:
		return slotState{err: err}
	case r == nil:
		return slotState{}
	case r.lease == nil:
		return slotState{err: errGarbage}
	}
	// A child that closed what it inherited, as sudo does, does not hold the lock, and is
	// a job of the pool nevertheless. If its berth was killed before it could
	// record the child, the child's environment tells.
	st := slotState{record: r}
	if r.child != nil {
		st.orphan = p.s.opts.Alive(*r.child)
	}
	if r.child == nil || r.lease.Kept && !st.orphan { // any process may run something under a kept lease
		st.orphan = p.processOf(r.lease.ID) != nil
	}
	return st
}

// processOf finds a process of a lease by its environment. That may read all of /proc
// under the pool's lock, so it remembers the process for as long as it lives.
func (p *pool) processOf(id string) *lease.Process {
	return p.remembered(id, func() *lease.Process { return p.s.opts.Started(id) })
}

// runBy finds a process that was started by an adopter in the same way.
func (p *pool) runBy(adopter lease.Process) *lease.Process {
	return p.remembered(adopter, func() *lease.Process { return p.s.opts.RunBy(adopter) })
}

func (p *pool) remembered(key any, find func() *lease.Process) *lease.Process {
	if found, ok := p.processes.Load(key); ok && p.s.opts.Alive(*found.(*lease.Process)) {
		return found.(*lease.Process)
	}
	found := find()
	if found == nil {
		p.processes.Delete(key)
	} else {
		p.processes.Store(key, found)
	}
	return found
}

// slotScan says which slots are to be checked, and what a check found in those that are
// not free. The zero value checks none.
type slotScan struct {
	all   bool
	some  map[int]bool
	inUse map[int]slotState
}

func everySlot() *slotScan { return &slotScan{all: true} }

// begin forgets what was found before.
func (s *slotScan) begin() *slotScan {
	clear(s.inUse)
	return s
}

func (s *slotScan) covers(i int) bool { return s.all || s.some[i] }

func (s *slotScan) add(i int) {
	if s.some == nil {
		s.some = map[int]bool{}
	}
	s.some[i] = true
}

func (s *slotScan) found(i int, st slotState) {
	if s.inUse == nil {
		s.inUse = map[int]slotState{}
	}
	s.inUse[i] = st
}

// checkSlots checks slots that the index has in use against their locks, and frees
// in the index those whose holders were killed and whose jobs are gone. If only damaged
// ones are left in use, it returns the first of these: they may stay so for ever.
func (p *pool) checkSlots(ix *index, scan *slotScan) *lease.DamagedError {
	var bad *lease.DamagedError
	sound := false
	for i, limit := range ix.limits {
		if limit == 0 {
			continue
		}
		if !scan.covers(i) {
			sound = true // as far as is known: it was checked before
			continue
		}
		st := p.checkSlot(i)
		if st.err != nil && bad == nil {
			bad = &lease.DamagedError{Pool: p.name, Path: p.slotPath(i), Slot: i, Err: withoutPath(st.err)}
		}
		if st.free() {
			ix.mark(i, 0)
		} else {
			scan.found(i, st)
		}
		sound = sound || st.locked || st.orphan
	}
	if sound {
		return nil
	}
	return bad
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
	return hasFlockOn(&slot)
}

// wakeHead wakes the head of the line, which watches for closed slot files.
func (p *pool) wakeHead(slot string) error {
	f, err := p.openFile(slots, slot, creating)
	if err != nil {
		return err
	}
	return f.Close()
}
