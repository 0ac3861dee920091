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
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"berth/lease"
)

// The files limit, pace and report are small and are written under the pool's lock.

// settings is the content of the file limit.
type settings struct {
	Version int `json:"v"`
	// Pool and Store, the inode of its directory, are where they were set. Who may
	// write in the store may also move the file: into another pool, or another store
	// of the same file system, where its owner has set nothing.
	Pool  string `json:"pool,omitempty"`
	Store uint64 `json:"store,omitempty"`
	lease.Settings
}

// termsVersion is that of a file with more than a limit in it: who knows of
// nothing else must not take the limit for all there is.
const termsVersion = 2

// Set implements lease.Store.
func (s *Store) Set(ctx context.Context, pool string, change func(lease.Settings, error) (lease.Settings, error)) error {
	p, err := s.pool(pool, true)
	if err != nil {
		return err
	}
	defer p.close()
	return p.locked(ctx, func(*index) error {
		own, err := change(p.own())
		if err != nil {
			return err
		}
		// Now: the head, once awake, waits for the lock that we have. Killed after
		// the change, we could not wake it, and if this fails it has looked in vain.
		_ = p.poke(anySlot)
		switch {
		case own.None():
			return p.remove(itself, "limit")
		}
		file := settings{Version: termsVersion, Pool: p.name, Store: p.root.st.Ino, Settings: own}
		if own.Conditions.None() {
			file.Version = lease.Version
		}
		return p.replace("limit", file)
	})
}

// anySlot is no slot: an event of it has the head look at all of them.
const anySlot = ".any"

// own reads the pool's own settings; the zero value: it has none.
func (p *pool) own() (lease.Settings, error) {
	b, uid, err := p.read("limit")
	if b == nil {
		return lease.Settings{}, err
	}
	c, err := parseSettings(b)
	if err == nil && c.Pool != "" && c.Pool != p.name {
		err = fmt.Errorf("it was set for pool %q", c.Pool)
	}
	if err != nil {
		return lease.Settings{}, &fs.PathError{Op: "read", Path: p.path("limit"), Err: fmt.Errorf("%w; 'berth limit --clear %s' removes it", err, p.name)}
	}
	c.UID = uid
	if c.Pool == "" || c.Store != p.root.st.Ino {
		c.UID = -1 // by an older berth, or elsewhere: its owner may have meant something else
	}
	return c.Settings, nil
}

func parseSettings(b []byte) (c settings, err error) {
	var v struct {
		Version int `json:"v"`
	}
	// The version first: what a newer one says need not fit our fields.
	if json.Unmarshal(b, &v) == nil && v.Version > termsVersion {
		return c, fmt.Errorf("%w (version %d)", errNewer, v.Version)
	}
	if json.Unmarshal(b, &c) != nil || c.None() || c.Limit != nil && *c.Limit < 0 || c.MinSlots < 0 || c.Need.CPU < 0 || c.Ramp < 0 || c.Rate.Every < 0 {
		return c, errGarbage
	}
	if r := c.Rate; r.Every > 0 && r.Burst < 1 || r.Burst > 1 && (r.Burst > lease.MaxBurst || r.Every > lease.MaxEvery) {
		return c, errGarbage
	}
	return c, nil
}

// paceFile is the content of the file pace.
type paceFile struct {
	Version int            `json:"v"`
	Boot    uint64         `json:"boot"` // whose clock the buckets are on
	Buckets []lease.Bucket `json:"buckets"`
	Count   uint64         `json:"count,omitempty"`
	Over    time.Duration  `json:"over_ns,omitempty"`
	Slow    time.Duration  `json:"slow_ns,omitempty"`
	Lost    time.Duration  `json:"lost_ns,omitempty"`
}

// starts is what the pool remembers of its starts: the last one from the index,
// which each start writes anyway, and what is known of those who keep to a pace with
// a burst or a slow one, if there are any. In a damaged file all buckets are empty, and
// so they are when it is gone and the index knows of it: else one changed byte would
// have as many start as in a pool that was idle.
func (p *pool) starts(ix *index) (lease.Starts, error) {
	now := p.s.Clock()
	s := lease.Starts{Last: time.Duration(min(ix.start, uint64(now)))}
	b, _, err := p.read("pace")
	if err != nil {
		return s, err
	}
	f, whole := parsePace(b)
	if whole && f.Version > lease.Version {
		return s, &fs.PathError{Op: "read", Path: p.path("pace"), Err: fmt.Errorf("%w (version %d)", errNewer, f.Version)}
	}
	switch {
	case whole && f.Boot == p.s.boot:
		s.Buckets, s.Count, s.Over, s.Slow, s.Lost = f.Buckets, f.Count, f.Over, f.Slow, f.Lost
		s.By(now)
	case !whole && len(b) > 0, ix.paced:
		s.Lost = s.Last
	}
	return s, nil
}

// paceSum is what the file pace ends with, but for blanks. An older berth writes none.
const paceSum = `,"sum":"%016x"}`

// parsePace returns false for what is not as it was written.
func parsePace(b []byte) (f paceFile, whole bool) {
	text := bytes.TrimRight(b, " ")
	text = text[:max(0, len(text)-len(fmt.Sprintf(paceSum, 0)))]
	if string(bytes.TrimRight(b, " ")) != string(fmt.Appendf(slices.Clip(text), paceSum, hash(text))) {
		return f, false
	}
	return f, json.Unmarshal(b, &f) == nil
}

// started counts a start, before there is one: killed in between, one too many
// is counted, never one too few. Where there is no file nobody numbers them.
func (p *pool) started(ix *index, s *lease.Starts, paces ...lease.Pace) (lease.Start, error) {
	had := len(s.Buckets)
	start := s.Add(p.s.Clock(), paces...)
	paced := len(s.Buckets) > 0 || s.Slow > 0 || s.Lost > 0
	if had == 0 && !paced {
		start.Nth = 0
	} else if err := p.writePace(s); err != nil {
		return start, err
	}
	ix.start, ix.paced = uint64(s.Last), paced
	return start, nil
}

// refused notes a pace that looks back for longer than an idle pool is kept: who comes
// again and again without waiting would find the pool forgotten, and start too soon.
// On a full disk it is refused none the less.
func (p *pool) refused(s *lease.Starts, v lease.Verdict) {
	if v.Reason == lease.Paced && v.Pace.Burst <= 1 && v.Pace.Every > max(s.Slow, p.s.o.Forget) {
		s.Slow = v.Pace.Every
		_ = p.writePace(s)
	}
}

// undo takes a start back.
func (p *pool) undo(ix *index, start lease.Start) error {
	s, err := p.starts(ix)
	if err != nil {
		return err
	}
	s.Undo(start)
	ix.start = uint64(s.Last)
	if len(s.Buckets) == 0 && s.Slow == 0 {
		return nil
	}
	return p.writePace(&s)
}

func (p *pool) writePace(s *lease.Starts) error {
	// In place and in one write, which a kill does not tear: once the file is there,
	// a full disk does not keep jobs from starting.
	b, err := json.Marshal(paceFile{lease.Version, p.s.boot, s.Buckets, s.Count, s.Over, s.Slow, s.Lost})
	if err != nil {
		return err
	}
	b = b[:len(b)-1]
	b = fmt.Appendf(b, paceSum, hash(b))
	f, err := p.openFile(itself, "pace", making)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt(append(b, bytes.Repeat([]byte(" "), max(0, paceSize-len(b)))...), 0)
	return err
}

// paceSize is the size of the file pace: more than 16 buckets take.
const paceSize = 4096

// Report implements lease.Place.
func (t *place) Report(ctx context.Context, why string, data json.RawMessage) error {
	return t.pool.locked(ctx, func(*index) error {
		return t.pool.replace("report", lease.Report{By: t.ticket.ID, Why: why, At: t.pool.s.Clock(), Data: data})
	})
}

// report is what the last who asked his gates left; nil: nothing to be read.
func (p *pool) report() *lease.Report {
	b, _, err := p.read("report")
	r := &lease.Report{}
	// Of an instant that this boot has not reached: it is of one before.
	if b == nil || err != nil || json.Unmarshal(b, r) != nil || r.At > p.s.Clock() {
		return nil
	}
	return r
}

// maxSmall bounds what is read of such a file; ours are below 16 KiB.
const maxSmall = 64 << 10

// read returns what a file holds, and who wrote it (-1: not known); nil when it is
// not there.
func (p *pool) read(name string) ([]byte, int, error) {
	f, err := p.openFile(itself, name, reading)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	if fi.Size() > maxSmall {
		return nil, 0, &fs.PathError{Op: "read", Path: f.Name(), Err: fmt.Errorf("has %d bytes, and what berth writes there at most %d; remove it", fi.Size(), maxSmall)}
	}
	b := make([]byte, fi.Size())
	n, err := f.ReadAt(b, 0)
	if n < len(b) {
		return nil, 0, err
	}
	uid := int(fi.Sys().(*syscall.Stat_t).Uid)
	if fi.Mode().Perm()&0o022 != 0 {
		uid = -1 // others can write it: nobody knows who did
	}
	return b, uid, nil
}

// replace writes a file in one step: a reader sees the old one or the new one,
// also when we are killed or the disk is full.
func (p *pool) replace(name string, v any) error {
	b, err := jsonLine(v)
	if err != nil {
		return err
	}
	d, tmp := p.keep, name+".new"
	_ = d.remove(tmp) // left by somebody who was killed here; we hold the lock
	// Not writable for the group from the start: who owns it has written it.
	var fd int
	exactly(func() {
		fd, err = d.openat(tmp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, p.s.fileMode()&^0o022)
	})
	if err != nil {
		return d.failed("create", tmp, err)
	}
	f := os.NewFile(uintptr(fd), d.sub(tmp))
	if name == "limit" {
		// A pool may be idle for longer than cleaners of temporary files leave
		// alone. systemd-tmpfiles passes a file with the sticky bit; where it
		// means something else, it is not to be had.
		_ = unix.Fchmod(fd, p.s.fileMode()&^0o022|unix.S_ISVTX)
	}
	if err = p.s.handOver(fd); err == nil {
		_, err = f.Write(b)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = d.rename(tmp, name)
	}
	if err != nil {
		_ = d.remove(tmp)
	}
	return err
}
