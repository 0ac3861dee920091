//go:build unix

package filestore

import (
	"bytes"
	"os"
	"slices"
)

// The file STORE/POOL/lock is the lock of the pool and at the same time its
// index: a header line, then a line for each slot. All lines of a kind have
// the same length, so a change is one small write in place, which a kill
// cannot tear, and a pool with a thousand slots in use is read at once
// instead of by opening a thousand files.
//
// The index errs only towards "in use". A slot is marked before its child can
// start and freed after its lock is gone, so "in use" may be stale (its owner
// was killed), and is checked against the lock itself when a request needs
// the room; "free" is true. So that this holds even if the disk or a hand has
// changed the file, every line has a checksum, and the header
// has the number of slots. An index that does not add up is made again from the locks.
type index struct {
	ticket uint64 // number of the last ticket
	token  uint64 // fencing token of the last grant
	// change counts what happened in the line other than joining its end and
	// leaving its head. While it stays the same, a waiter whose predecessor has
	// left is the head, and the head is still the head. They need not scan the
	// line, so a hand-over costs the same however long it is.
	change uint64
	line   int    // the number of tickets, or more: it is raised before one is made
	start  uint64 // of the last job, in ns on the boot clock; 0: unknown
	paced  bool   // the file pace has something of this boot in it
	boot   uint64 // the boot of that clock, see Store.boot

	limits []int // per slot: 0 if free, else the limit that its lease requests, noLimit if none

	file   *os.File
	saved  []byte // the header as the file has it
	lo, hi int    // slots from lo to below hi differ from the file
}

// mark sets the limit that the lease in slot i requests (0: free, noLimit: none).
func (ix *index) mark(i, limit int) {
	for len(ix.limits) <= i {
		ix.limits = append(ix.limits, 0)
	}
	ix.limits[i] = limit
	if ix.lo == ix.hi {
		ix.lo, ix.hi = i, i+1
	}
	ix.lo, ix.hi = min(ix.lo, i), max(ix.hi, i+1)
}

// save writes what has changed, in one write if that lies within a page. Else it writes
// the slots before the header: a kill in between leaves more slots than the header counts.
func (ix *index) save() error {
	head := ix.header()
	changed := !bytes.Equal(head, ix.saved)
	var err error
	if changed && headerLen+ix.hi*recordLen <= os.Getpagesize() {
		err = ix.writeAt(ix.records(slices.Clip(head), 0, ix.hi), 0)
	} else {
		err = ix.writeAt(ix.records(nil, ix.lo, ix.hi), int64(headerLen+ix.lo*recordLen))
		if err == nil && changed {
			err = ix.writeAt(head, 0)
		}
	}
	if err != nil {
		return err
	}
	ix.saved, ix.lo, ix.hi = head, 0, 0
	return nil
}

func (ix *index) writeAt(b []byte, at int64) error {
	if len(b) == 0 {
		return nil
	}
	_, err := ix.file.WriteAt(b, at)
	return err
}

// saveAll replaces all of the file.
func (ix *index) saveAll() error {
	ix.saved, ix.lo, ix.hi = nil, 0, len(ix.limits)
	if err := ix.save(); err != nil {
		return err
	}
	size := int64(headerLen + len(ix.limits)*recordLen)
	if fi, err := ix.file.Stat(); err != nil || fi.Size() == size {
		return err
	}
	return ix.file.Truncate(size)
}

// used returns how many slots are in use, and the smallest limit that their leases request
// (0: none).
func (ix *index) used() (n, asked int) {
	for _, l := range ix.limits {
		if l == 0 {
			continue
		}
		n++
		if l != noLimit && (asked == 0 || l < asked) {
			asked = l
		}
	}
	return n, asked
}

// nextFree returns the lowest free slot from i on.
func (ix *index) nextFree(i int) int {
	for i < len(ix.limits) && ix.limits[i] != 0 {
		i++
	}
	return i
}
