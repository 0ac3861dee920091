//go:build unix

package filestore

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"time"

	"berth/lease/clock"
)

// The index is repaired here when it is opened: after a boot, and when it is missing or damaged.

// firstOfBoot is run by the first process that has the pool's lock in this boot. No record
// was written since the boot, because this function saves the index before any is. So a
// torn record was torn by a power cut, and no process is left from then. The wall clock
// alone could not tell: set forward by more than the uptime, it makes all records older
// than the boot.
func (p *pool) firstOfBoot(ix *index) error {
	p.earlierBoot = true
	for i := range ix.limits {
		if err := p.freeTorn(i); err != nil {
			return err
		}
	}
	ix.boot, ix.start, ix.paced = p.s.boot, 0, false // that clock began again at the boot
	return ix.save()
}

// clampStarts sets starts that are in the future to now. In the same boot they are of another
// time namespace, whose clock is ahead of ours. By the time they are saved and read, they are in
// the past.
func (p *pool) clampStarts(ix *index) error {
	s, err := p.starts(ix)
	if err != nil {
		return err
	}
	ix.start = uint64(s.Last)
	if len(s.Buckets) == 0 && s.BucketsLost == 0 {
		return nil
	}
	return p.writePace(&s)
}

// freeTorn marks a slot free if its record was torn by a power cut.
func (p *pool) freeTorn(i int) error {
	f, err := p.openSlot(i, writing)
	if err != nil {
		return nil // missing, or not ours
	}
	defer f.Close()
	got, err := tryLock(f)
	if err != nil || !got {
		return err
	}
	defer unlock(f)
	if _, err := readRecord(f); errors.Is(err, errGarbage) && p.olderThanBoot(f) {
		return writeFreeMark(f)
	}
	return nil
}

// olderThanBoot trusts the wall clock.
func (p *pool) olderThanBoot(f *os.File) bool {
	fi, err := f.Stat()
	return err == nil && olderThanBoot(fi.ModTime())
}

func olderThanBoot(t time.Time) bool {
	return t.Before(time.Now().Add(-time.Duration(clock.Now())))
}

// maxToken bounds the tokens that are believed of other files than the index.
const maxToken = 1 << 62

// numberGap is a safe jump over the numbers that may have been handed out and that we can no
// longer see.
const numberGap = 1_000_000

// rebuild makes the index from the locks and the records: the file is new, of an older
// berth, or damaged. A fencing token must not be handed out twice, and the last one may
// be lost. So tokens continue above all that can still be read, also in free slots,
// and above the microseconds since 1970, because no pool has more than a grant per
// microsecond. That holds even if the pool was removed, unless the clock was set back.
func (p *pool) rebuild() (*index, error) {
	old, err := p.oldIndex()
	if err != nil {
		return nil, err
	}
	// Waiters compare change with what they read before: it must be another number now.
	ix := &index{file: p.file, boot: p.s.boot, change: uint64(clock.Now()) / uint64(time.Millisecond) % 1e12}
	found, err := p.names(slots)
	if err != nil {
		return nil, err
	}
	tickets, err := p.tickets()
	if err != nil {
		return nil, err
	}
	for _, n := range tickets {
		seq, _ := seqOf(n)
		ix.ticket = max(ix.ticket, seq)
	}
	ix.line = len(tickets)
	if old != nil {
		ix.ticket, ix.token, ix.start = max(old.ticket, ix.ticket), old.token, old.start
	} else {
		ix.token = max(uint64(time.Now().UnixMicro()), p.s.tokenFloor())
		if len(found) > 0 {
			ix.ticket += numberGap
			ix.start = uint64(clock.Now()) // it was earlier: no pace is exceeded
		}
	}
	p.earlierBoot = p.olderThanBoot(p.file)
	for _, n := range found {
		i, ok := slotOf(n)
		if !ok {
			continue
		}
		if err := p.rebuildSlot(ix, i, old == nil); err != nil {
			return nil, err
		}
	}
	return ix, ix.saveAll()
}

// rebuildSlot enters a slot into the index, and with aboveIt lets tokens continue above its own.
func (p *pool) rebuildSlot(ix *index, i int, aboveIt bool) error {
	for len(ix.limits) <= i {
		ix.limits = append(ix.limits, 0)
	}
	if token := p.lastToken(i); token > ix.token && aboveIt {
		ix.token = token + numberGap
	}
	if p.earlierBoot {
		if err := p.freeTorn(i); err != nil {
			return err
		}
	}
	if st := p.checkSlot(i); !st.free() {
		ix.limits[i] = st.limit()
	}
	return nil
}

// oldIndex is the index of an older berth, if it is intact.
func (p *pool) oldIndex() (*index, error) {
	fi, err := p.file.Stat()
	if err != nil {
		return nil, err
	}
	b := make([]byte, min(fi.Size(), maxIndex))
	n, _ := p.file.ReadAt(b, 0)
	old, ok := parseOld(b[:n])
	if !ok {
		return nil, nil
	}
	if olderThanBoot(fi.ModTime()) || old.start > uint64(p.s.Clock()) {
		old.start = 0
	}
	return old, nil
}

// slotOf returns the number of a slot's file. It is bounded, because the index becomes as
// long.
func slotOf(name string) (int, bool) {
	i, err := strconv.Atoi(name)
	return i, err == nil && 0 <= i && i < maxSlots && strconv.Itoa(i) == name
}

// lastToken is the token of the last lease in a slot. The mark of a free slot does not
// overwrite it.
func (p *pool) lastToken(i int) (token uint64) {
	f, err := p.openSlot(i, reading)
	if err != nil {
		return 0
	}
	defer f.Close()
	b, _ := readAll(f)
	for line := range bytes.Lines(b) {
		var l struct {
			Token uint64 `json:"token"`
		}
		if json.Unmarshal(line, &l) == nil && l.Token < maxToken {
			token = max(token, l.Token)
		}
	}
	return token
}
