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
//	berth 1 ticket 000000000012 token 00000000000000000045 change 000000000007 line 000003\n
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
	line   int // tickets in the line, or more: counted up before one is made

	limits []int // per slot: 0 free, else what its lease asks for, noLimit if nothing
	file   *os.File
}

const (
	headerLen = 87
	recordLen = 11
	noLimit   = 9999999999
	headerFmt = "berth 1 ticket %012d token %020d change %012d line %06d\n"
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
	if len(b) < headerLen || !bytes.HasPrefix(b, []byte("berth 1 ticket ")) {
		return nil, errIndex
	}
	ix := &index{}
	var line uint64
	head, rest := b[:headerLen], b[headerLen:]
	for _, f := range []struct {
		at, n int
		to    *uint64
	}{{15, 12, &ix.ticket}, {34, 20, &ix.token}, {62, 12, &ix.change}, {80, 6, &line}} {
		v, err := strconv.ParseUint(string(head[f.at:f.at+f.n]), 10, 64)
		if err != nil {
			return nil, errIndex
		}
		*f.to = v
	}
	ix.line = int(line)
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
	return fmt.Appendf(nil, headerFmt, ix.ticket, ix.token, ix.change, ix.line)
}

func (ix *index) saveHeader() error {
	_, err := ix.file.WriteAt(ix.header(), 0)
	return err
}

// mark records what the lease in slot i asks for (0: free, noLimit: nothing).
func (ix *index) mark(i, limit int) error {
	_, err := ix.file.WriteAt(fmt.Appendf(nil, "%010d\n", limit), int64(headerLen+i*recordLen))
	if err != nil {
		return err
	}
	for len(ix.limits) <= i {
		ix.limits = append(ix.limits, 0)
	}
	ix.limits[i] = limit
	return nil
}

// saveAll writes the whole index over whatever the file held.
func (ix *index) saveAll() error {
	b := ix.header()
	for _, l := range ix.limits {
		b = fmt.Appendf(b, "%010d\n", l)
	}
	if err := ix.file.Truncate(0); err != nil {
		return err
	}
	_, err := ix.file.WriteAt(b, 0)
	return err
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
