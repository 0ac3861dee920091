//go:build unix

package filestore

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A pool without settings that has not been used for Timings.Forget is removed: CI makes a
// pool for every run, and nobody should have to clean up. Once in Timings.Sweep, a
// process that has just released its slots searches for such pools, for no longer than
// Timings.SweepFor.
//
// Another process may be about to use the pool at that moment. Every process that has it
// open tries for a shared flock on its directory, and we need an exclusive one. If our lock
// made another process fail, that one still needs the pool's lock, which we have, before it
// decides anything, and then finds that the pool was replaced. The rename is the
// step that counts: if we are killed before it, nothing has happened; if after it, the
// next sweep removes the rest.

const (
	// sweepStamp is a file of the store. Its time is that of the last sweep, and it contains the
	// highest token of all pools that were removed.
	sweepStamp = ".swept"
	gonePrefix = ".gone-"
	sweepSoon  = time.Minute // when there was not enough time
)

// sweep removes idle pools, if that is due. It is silent about failures.
func (s *Store) sweep() {
	root, err := s.rootDir()
	if err != nil {
		return
	}
	st, err := root.stat(sweepStamp)
	existed := err == nil
	if existed && !s.isPast(st.Mtim, s.opts.Sweep) {
		return
	}
	f, err := s.openFile(root, sweepStamp, creating)
	if err != nil {
		return
	}
	defer f.Close()
	// Of several processes that found it due, one does it.
	if got, err := tryLock(f); !got || err != nil || !existed {
		return // a new stamp is one of a new store
	}
	if err := unix.Fstat(int(f.Fd()), &st); err != nil || !s.isPast(st.Mtim, s.opts.Sweep) {
		return
	}
	swept := time.Now()
	if !s.sweepPools(root, f, swept.Add(s.opts.SweepFor)) {
		swept = swept.Add(sweepSoon - s.opts.Sweep) // back-dated, so that the next is due in sweepSoon
	}
	at := unix.NsecToTimeval(swept.UnixNano())
	_ = unix.Futimes(int(f.Fd()), []unix.Timeval{at, at})
}

// isPast reports whether a time was at least d ago. A time in the future counts as past,
// because the clock was set.
func (s *Store) isPast(at unix.Timespec, d time.Duration) bool {
	ago := time.Since(time.Unix(at.Unix()))
	return ago >= d || ago < -d
}

// sweepPools returns false if end came before it had finished. It begins at a random pool:
// otherwise it might never reach the last ones.
func (s *Store) sweepPools(root *dir, f *os.File, end time.Time) bool {
	found, err := root.names()
	if err != nil {
		return true
	}
	if len(found) > 0 {
		first := rand.IntN(len(found))
		found = append(found[first:], found[:first]...)
	}
	for i, n := range found {
		if i > 0 && time.Now().After(end) {
			return false
		}
		switch {
		case strings.HasPrefix(n, gonePrefix):
			s.removeGone(root, n)
		case s.looksIdle(root, n):
			s.forget(root, n, f)
		}
	}
	return true
}

// looksIdle says without opening the pool whether that is worth it.
func (s *Store) looksIdle(root *dir, name string) bool {
	d, err := s.openDir(root, name)
	if err != nil {
		return false
	}
	defer d.close()
	st, err := d.stat("lock")
	_, lerr := d.stat("limit")
	return err == nil && lerr == unix.ENOENT && time.Since(time.Unix(st.Mtim.Unix())) >= s.opts.Forget
}

// forget removes a pool if it is idle.
func (s *Store) forget(root *dir, name string, f *os.File) {
	if p, err := s.pool(name, false); err == nil {
		p.forgetIfIdle(root, f)
		p.close()
	}
}

// forgetIfIdle does nothing if another process has the pool open, or if another pool has its
// name by now.
func (p *pool) forgetIfIdle(root *dir, f *os.File) {
	s, name := p.s, p.name
	if got, err := tryLock(p.top.f); !got || err != nil {
		return // another process has it open
	}
	l := p.top.lockOf("lock")
	if got, err := l.TryLock(); !got || err != nil {
		return
	}
	defer l.Unlock()
	if p.root != root || !sameFile(l.f, p.file) || !p.inPlace() || !s.looksIdle(root, name) {
		return
	}
	_ = p.withIndex(func(ix *index) error {
		if p.paces(ix) || !p.empty(ix) {
			return nil
		}
		// Before it is removed: a process that makes it again must find the token.
		err := s.setTokenFloor(f, ix.token)
		if err == nil {
			err = root.rename(name, gonePrefix+name)
		}
		if err == nil {
			s.removeGone(root, gonePrefix+name)
		}
		return err
	})
}

// paces reports whether a start still counts for a request with a pace.
func (p *pool) paces(ix *index) bool {
	starts, err := p.starts(ix)
	return err != nil || starts.StillCount(p.s.Clock())
}

// empty reports whether the pool has neither waiters nor holders, nor files of others.
func (p *pool) empty(ix *index) bool {
	if _, err := p.scanLine(ix, lastName, false); err != nil || ix.save() != nil {
		return false
	}
	waiting, err := p.names(line)
	if err != nil || len(waiting) > 0 {
		return false
	}
	places, err := p.names(slots)
	if err != nil {
		return false
	}
	for _, n := range places {
		if i, ok := slotOf(n); n != anySlot && (!ok || !p.checkSlot(i).free()) {
			return false
		}
	}
	all, err := p.names(top)
	for _, n := range all {
		if n != slots && n != line && poolFiles[n] == nil {
			return false
		}
	}
	return err == nil
}

// poolFiles are the files that a pool without settings may have beside its directories, each
// with a check that berth has written its content.
var poolFiles = map[string]func([]byte) bool{
	"lock":       func(b []byte) bool { return versionOf(b) > 0 },
	"pace":       json.Valid,
	"report":     json.Valid,
	"keepalive":  func(b []byte) bool { return len(bytes.Trim(b, "0123456789 \n\x00")) == 0 }, // a sparse file
	"notes":      areNotes,
	"report.new": func([]byte) bool { return true },
	"limit.new":  func([]byte) bool { return true },
}

// subFile is the same for the files in its directories. Tickets are swept by scanLine.
func subFile(name string) func([]byte) bool {
	if _, slot := slotOf(name); slot {
		return isRecord
	}
	if name == anySlot {
		return func(b []byte) bool { return len(b) == 0 }
	}
	return nil
}

// removeGone removes what is left of a pool. Files that berth has not written stay, and with
// them their directories.
func (s *Store) removeGone(root *dir, name string) {
	d, err := s.openDir(root, name)
	if err != nil {
		return
	}
	defer d.close()
	for _, n := range []string{slots, line} {
		if sub, err := s.openDir(d, n); err == nil {
			found, _ := sub.names()
			for _, file := range found {
				s.removeOurs(sub, file, subFile(file))
			}
			sub.close()
			_ = d.rmdir(n)
		}
	}
	found, _ := d.names()
	for _, file := range found {
		s.removeOurs(d, file, poolFiles[file])
	}
	_ = root.rmdir(name)
}

// removeOurs removes a file if its content passes the check; ours is nil for a name that no
// file of a pool has.
func (s *Store) removeOurs(d *dir, name string, ours func([]byte) bool) {
	if ours == nil {
		return
	}
	f, err := s.openFile(d, name, reading)
	if err != nil {
		return
	}
	defer f.Close()
	if b, err := readAll(f); err == nil && ours(b) {
		_ = d.remove(name)
	}
}

func isRecord(b []byte) bool {
	r, err := parseRecord(b)
	return err == nil && (r == nil || r.lease != nil)
}

const tokenFloorFmt = "token %020d"

// setTokenFloor saves the token of a pool that is being removed, if it is the highest.
func (s *Store) setTokenFloor(f *os.File, token uint64) error {
	if readTokenFloor(f) >= token {
		return nil
	}
	text := fmt.Appendf(nil, tokenFloorFmt, token)
	_, err := f.WriteAt(fmt.Appendf(text, " sum %016x\n", hash(text)), 0)
	return err
}

// tokenFloor is the token above which those of a new pool begin.
func (s *Store) tokenFloor() uint64 {
	root, err := s.rootDir()
	if err != nil {
		return 0
	}
	f, err := s.openFile(root, sweepStamp, reading)
	if err != nil {
		return 0
	}
	defer f.Close()
	return readTokenFloor(f)
}

func readTokenFloor(f *os.File) (token uint64) {
	b := make([]byte, len("token ")+20+sumLen)
	if n, err := f.ReadAt(b, 0); n < len(b) && err != nil || !addsUp(b) {
		return 0
	}
	if _, err := fmt.Sscanf(string(b), "token %d", &token); err != nil || token > maxToken {
		return 0
	}
	return token
}
