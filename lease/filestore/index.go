//go:build unix

package filestore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
)

// The file STORE/POOL/lock is the lock of the pool and at the same time its
// index: a header line, then a line for each slot. All lines of a kind have
// the same length, so a change is one small write in place, which a kill
// cannot tear, and a pool with a thousand slots in use is read in one go
// instead of by opening a thousand files.
//
//	berth 2 ticket 000000000012 token 00000000000000000045 change 000000000007 line 000003 start 00000081234567890123\n
//	0000000004\n   slot 0: in use by a lease that asks for limit 4
//	0000000000\n   slot 1: free
//
// The index may err on one side only. A slot is marked before its child can
// start and freed after its lock is gone, so "in use" may be stale (its owner
// was killed) and is then checked against the lock itself when somebody needs
// the room; "free" is true. What cannot be read is made anew from the locks.
type index struct {
	ticket uint64 // number of the last ticket
	token  uint64 // fencing token of the last grant
	// change counts what happened in the line other than joining its end and
	// leaving its head. While it stands still, a waiter whose predecessor has
	// left is the head, and the head is still the head: no need to read the
	// line, so a hand-over costs the same however long it is.
	change uint64
	line   int    // tickets in the line, or more: counted up before one is made
	start  uint64 // when the last start was, in ns on the boot clock; 0: not known

	limits []int // per slot: 0 free, else what its lease asks for, noLimit if nothing

	file   *os.File
	saved  []byte // the header as the file has it
	lo, hi int    // slots from lo to below hi differ from the file
}

const (
	version   = 2 // 1 had no start
	headerLen = 114
	recordLen = 11
	noLimit   = 9999999999
	headerFmt = "berth 2 ticket %012d token %020d change %012d line %06d start %020d\n"
)

var errIndex = errors.New("the index cannot be read")

// loadIndex reads the index from the lock file. errIndex: it is damaged or the
// file is new.
func loadIndex(f *os.File) (*index, error) {
	buf := make([]byte, 4096)
	n := 0
	for {
		m, err := f.ReadAt(buf[n:], int64(n))
		n += m
		if n < len(buf) {
			if err != nil && err != io.EOF {
				return nil, err
			}
			break
		}
		buf = append(buf, make([]byte, len(buf))...)
	}
	ix, err := parseIndex(buf[:n])
	if ix != nil {
		ix.file = f
	}
	return ix, err
}

func parseIndex(b []byte) (*index, error) {
	var v int
	if n, _ := fmt.Sscanf(string(b[:min(len(b), 16)]), "berth %d", &v); n == 1 && v > version {
		return nil, errNewer
	}
	if len(b) < headerLen || !bytes.HasPrefix(b, []byte("berth 2 ticket ")) {
		return nil, errIndex
	}
	ix := &index{}
	var line uint64
	head, rest := b[:headerLen], b[headerLen:]
	for _, f := range []struct {
		at, n int
		to    *uint64
	}{{15, 12, &ix.ticket}, {34, 20, &ix.token}, {62, 12, &ix.change}, {80, 6, &line}, {93, 20, &ix.start}} {
		v, err := strconv.ParseUint(string(head[f.at:f.at+f.n]), 10, 64)
		if err != nil {
			return nil, errIndex
		}
		*f.to = v
	}
	ix.line, ix.saved = int(line), head
	if !bytes.Equal(ix.header(), head) || len(rest)%recordLen != 0 {
		return nil, errIndex
	}
	ix.limits = make([]int, 0, len(rest)/recordLen)
	for ; len(rest) > 0; rest = rest[recordLen:] {
		v := 0
		for _, c := range rest[:recordLen-1] {
			if c < '0' || c > '9' {
				return nil, errIndex
			}
			v = v*10 + int(c-'0')
		}
		if rest[recordLen-1] != '\n' {
			return nil, errIndex
		}
		ix.limits = append(ix.limits, v)
	}
	return ix, nil
}

func (ix *index) header() []byte {
	return fmt.Appendf(nil, headerFmt, ix.ticket, ix.token, ix.change, ix.line, ix.start)
}

// mark notes what the lease in slot i asks for (0: free, noLimit: nothing).
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

// save writes what has changed: in one write if that lies within a page, and
// else the slots before the header.
func (ix *index) save() error {
	head := ix.header()
	from, at := ix.lo, int64(headerLen+ix.lo*recordLen)
	var b []byte
	if !bytes.Equal(head, ix.saved) {
		if headerLen+ix.hi*recordLen > os.Getpagesize() {
			if err := ix.writeAt(records(nil, ix.limits[ix.lo:ix.hi]), at); err != nil {
				return err
			}
			ix.lo, ix.hi = 0, 0
		}
		b, from, at = head, 0, 0
	}
	if err := ix.writeAt(records(b, ix.limits[min(from, ix.hi):ix.hi]), at); err != nil {
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

func records(b []byte, limits []int) []byte {
	for _, l := range limits {
		b = fmt.Appendf(b, "%010d\n", l)
	}
	return b
}

// saveAll writes the whole index over whatever the file held.
func (ix *index) saveAll() error {
	if err := ix.file.Truncate(0); err != nil {
		return err
	}
	ix.saved, ix.lo, ix.hi = nil, 0, len(ix.limits)
	return ix.save()
}

// lineHint reads how many tickets there are, without the pool's lock: the
// answer may be of a moment ago. -1: it cannot be read.
func lineHint(f *os.File) int {
	b := make([]byte, headerLen)
	if _, err := f.ReadAt(b, 0); err != nil {
		return -1
	}
	ix, err := parseIndex(b)
	if err != nil {
		return -1
	}
	return ix.line
}

// used returns how many slots are in use and the smallest limit they ask for
// (0: none asks).
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
