//go:build unix

package filestore

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"strconv"
)

// The index as the file has it:
//
//	berth 3 ticket 000000000012 token 00000000000000000045 change 000000000007 line 0000003 start 00000081234567890123 slots 0000002 boot 9ae16a3b2f90404f sum 84222325cbf29ce4\n
//	0000004 1758\n   slot 0: in use by a lease that requests limit 4
//	0000000 0032\n   slot 1: free
const (
	version   = 3 // 1 had no start, 2 no sums
	headerLen = 172
	recordLen = 13
	noLimit   = 9999999
	sumLen    = len(" sum ") + 16 + len("\n")

	// pacedMark is added to start if index.paced is set: no clock reaches it.
	pacedMark = 10_000_000_000_000_000_000

	// maxSlots is words.MaxSlots: no pool has more.
	maxSlots = 1_000_000
	maxIndex = headerLen + maxSlots*recordLen
)

var errIndex = errors.New("the index cannot be read")

// loadIndex reads the index from the lock file. The error is errIndex if it is damaged or
// the file is new.
func loadIndex(f *os.File) (*index, error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if fi.Size() > maxIndex {
		return nil, &fs.PathError{Op: "read", Path: f.Name(), Err: fmt.Errorf("has %d bytes, and no index more than %d; if no berth is at work in the pool, remove it", fi.Size(), maxIndex)}
	}
	b := make([]byte, fi.Size())
	n, err := f.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	ix, err := parseIndex(b[:n])
	if ix != nil {
		ix.file = f
	}
	return ix, err
}

func parseIndex(b []byte) (*index, error) {
	switch v := versionOf(b); {
	case v > version && addsUp(b):
		return nil, errNewer
	case v != version:
		return nil, errIndex
	}
	ix, slots, err := parseHeader(b)
	if err != nil {
		return nil, err
	}
	rest := b[headerLen:]
	if len(rest)%recordLen != 0 || len(rest)/recordLen < slots {
		return nil, errIndex
	}
	ix.limits = make([]int, 0, len(rest)/recordLen)
	for i := 0; len(rest) > 0; i, rest = i+1, rest[recordLen:] {
		limit, ok := digits(rest[:7])
		sum, ok2 := digits(rest[8:12])
		if !ok || !ok2 || rest[7] != ' ' || rest[12] != '\n' || sum != sumOf(i, limit) {
			return nil, errIndex
		}
		ix.limits = append(ix.limits, limit)
	}
	return ix, nil
}

func versionOf(b []byte) (v int) {
	_, _ = fmt.Sscanf(string(b[:min(len(b), 16)]), "berth %d", &v)
	return v
}

// headerLine is the form of a header without its checksum: "berth", a version, and numbers of
// a fixed width, each after its name.
type headerLine struct {
	version int
	fields  []headerField
}

type headerField struct {
	name        string
	width, base int
}

var (
	headerNow = headerLine{version, []headerField{
		{"ticket", 12, 10}, {"token", 20, 10}, {"change", 12, 10}, {"line", 7, 10}, {"start", 20, 10}, {"slots", 7, 10}, {"boot", 16, 16},
	}}
	headerOld = headerLine{2, []headerField{
		{"ticket", 12, 10}, {"token", 20, 10}, {"change", 12, 10}, {"line", 6, 10}, {"start", 20, 10},
	}}
)

// print appends the line to b, without its end.
func (h *headerLine) print(b []byte, values ...uint64) []byte {
	b = fmt.Appendf(b, "berth %d", h.version)
	for i, f := range h.fields {
		digits := strconv.FormatUint(values[i], f.base)
		b = append(append(append(b, ' '), f.name...), ' ')
		b = append(append(b, "00000000000000000000"[:max(0, f.width-len(digits))]...), digits...)
	}
	return b
}

// parse reads the numbers of a line that is long enough. That the rest of it is as print makes
// it is left to the caller.
func (h *headerLine) parse(b []byte, values ...*uint64) error {
	at := len("berth 0")
	for i, f := range h.fields {
		at += len(f.name) + 2
		v, err := strconv.ParseUint(string(b[at:at+f.width]), f.base, 64)
		if err != nil {
			return errIndex
		}
		*values[i], at = v, at+f.width
	}
	return nil
}

// parseHeader returns the index without its slots, and how many there have to be.
func parseHeader(b []byte) (*index, int, error) {
	if len(b) < headerLen {
		return nil, 0, errIndex
	}
	ix, line, slots := &index{saved: b[:headerLen]}, uint64(0), uint64(0)
	if err := headerNow.parse(b, &ix.ticket, &ix.token, &ix.change, &line, &ix.start, &slots, &ix.boot); err != nil {
		return nil, 0, err
	}
	ix.line = int(line)
	if ix.paced = ix.start >= pacedMark; ix.paced {
		ix.start -= pacedMark
	}
	if !bytes.Equal(ix.headerOf(int(slots)), ix.saved) {
		return nil, 0, errIndex // not ours, or its sum is not right
	}
	return ix, int(slots), nil
}

func (ix *index) header() []byte { return ix.headerOf(len(ix.limits)) }

func (ix *index) headerOf(slots int) []byte {
	start := ix.start
	if ix.paced {
		start += pacedMark
	}
	b := headerNow.print(make([]byte, 0, headerLen), ix.ticket, ix.token, ix.change, uint64(ix.line), start, uint64(slots), ix.boot)
	return fmt.Appendf(b, " sum %016x\n", hash(b))
}

// hash changes with any byte of the text.
func hash(b []byte) uint64 {
	h := fnv.New64a()
	h.Write(b)
	return h.Sum64()
}

// addsUp reports whether the first line ends with its checksum. Every later version has to
// keep that: otherwise one changed digit would make this version a newer one.
func addsUp(b []byte) bool {
	line, _, ok := bytes.Cut(b, []byte("\n"))
	text := line[:max(0, len(line)+1-sumLen)]
	return ok && string(line[len(text):]) == fmt.Sprintf(" sum %016x", hash(text))
}

// records appends the lines of the slots from lo to below hi.
func (ix *index) records(b []byte, lo, hi int) []byte {
	for i := lo; i < hi; i++ {
		b = fmt.Appendf(b, "%07d %04d\n", ix.limits[i], sumOf(i, ix.limits[i]))
	}
	return b
}

// sumOf is the checksum of a slot's line. The modulus is a prime that divides no difference of
// two digits, no power of ten, and no power of ten less one up to 10^6. So a line with one
// digit changed, or with two exchanged, has another sum, and so has the line of another
// slot nearby. It costs nothing compared with reading the line.
func sumOf(slot, limit int) int { return (limit*7919 + slot*31 + 1) % 9973 }

func digits(b []byte) (v int, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + int(c-'0')
	}
	return v, true
}

// ticketCountHint returns how many tickets there are. It works without the pool's lock, so
// the answer may be out of date. -1: it cannot be read.
func ticketCountHint(f *os.File) int {
	b := make([]byte, headerLen)
	if _, err := f.ReadAt(b, 0); err != nil || versionOf(b) != version {
		return -1
	}
	ix, _, err := parseHeader(b)
	if err != nil {
		return -1
	}
	return ix.line
}

// parseOld reads the header of an index of version 2. Its slots are checked again anyway.
// Its limits had ten digits.
func parseOld(b []byte) (*index, bool) {
	const headerLen, recordLen = 114, 11
	if versionOf(b) != 2 || len(b) < headerLen || (len(b)-headerLen)%recordLen != 0 {
		return nil, false
	}
	for rest := b[headerLen:]; len(rest) > 0; rest = rest[recordLen:] {
		if _, ok := digits(rest[:recordLen-1]); !ok || rest[recordLen-1] != '\n' {
			return nil, false
		}
	}
	ix, line := &index{}, uint64(0)
	err := headerOld.parse(b, &ix.ticket, &ix.token, &ix.change, &line, &ix.start)
	return ix, err == nil && string(b[:headerLen]) == string(headerOld.print(nil, ix.ticket, ix.token, ix.change, line, ix.start))+"\n"
}
