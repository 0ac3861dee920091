//go:build unix

package filestore

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"berth/lease"
	"berth/lease/clock"
)

// paceFile is the content of the file pace.
type paceFile struct {
	Version int            `json:"v"`
	Boot    uint64         `json:"boot"` // of the clock of the buckets
	Buckets []lease.Bucket `json:"buckets"`
	Count   uint64         `json:"count,omitempty"`
	Over    clock.Instant  `json:"over_ns,omitempty"`
	Slow    time.Duration  `json:"slow_ns,omitempty"`
	Lost    clock.Instant  `json:"lost_ns,omitempty"`
}

// starts is what the pool remembers of its starts: the last one from the index, which
// every start writes anyway, and from the file pace what requests with a burst or a long
// interval need, if there are any. If the file is damaged, or missing though the index
// knows of it, all buckets are empty: otherwise one changed byte would allow as many
// starts as in an idle pool.
func (p *pool) starts(ix *index) (lease.Starts, error) {
	now := p.s.Clock()
	s := lease.Starts{Last: clock.Instant(min(ix.start, uint64(now)))}
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
		s.Buckets, s.Count, s.Overdrawn, s.Slow, s.BucketsLost = f.Buckets, f.Count, f.Over, f.Slow, f.Lost
		s.ClampTo(now)
	case !whole && len(b) > 0, ix.paced:
		s.BucketsLost = s.Last
	}
	return s, nil
}

// paceSum is the end of the file pace, before the padding. An older berth writes none.
const paceSum = `,"sum":"%016x"}`

// parsePace returns false if the file is not as it was written.
func parsePace(b []byte) (f paceFile, whole bool) {
	text := bytes.TrimRight(b, " ")
	text = text[:max(0, len(text)-len(fmt.Sprintf(paceSum, 0)))]
	if string(bytes.TrimRight(b, " ")) != string(fmt.Appendf(slices.Clip(text), paceSum, hash(text))) {
		return f, false
	}
	return f, json.Unmarshal(b, &f) == nil
}

// recordStart counts a start before it happens: a kill in between leaves one too many,
// never one too few. Without the file starts have no number.
func (p *pool) recordStart(ix *index, s *lease.Starts, paces ...lease.Pace) (lease.Start, error) {
	had := len(s.Buckets)
	start := s.Add(p.s.Clock(), paces...)
	paced := len(s.Buckets) > 0 || s.Slow > 0 || s.BucketsLost > 0
	if had == 0 && !paced {
		start.Nth = 0
	} else if err := p.writePace(s); err != nil {
		return start, err
	}
	ix.start, ix.paced = uint64(s.Last), paced
	return start, nil
}

// recordRefusal notes a pace whose interval is longer than an idle pool is kept: a caller that
// tries again and again without waiting would find the pool forgotten, and start too soon.
// If the disk is full, the request is refused nevertheless.
func (p *pool) recordRefusal(s *lease.Starts, v lease.Verdict) {
	if v.Reason == lease.Paced && v.Pace.Burst <= 1 && v.Pace.Every > max(s.Slow, p.s.opts.Forget) {
		s.Slow = v.Pace.Every
		_ = p.writePace(s)
	}
}

// undoStart makes a start not count.
func (p *pool) undoStart(ix *index, start lease.Start) error {
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
	// In place and in one write, which a kill does not tear: once the file exists, a full
	// disk does not keep jobs from starting.
	b, err := json.Marshal(paceFile{lease.Version, p.s.boot, s.Buckets, s.Count, s.Overdrawn, s.Slow, s.BucketsLost})
	if err != nil {
		return err
	}
	b = b[:len(b)-1]
	b = fmt.Appendf(b, paceSum, hash(b))
	f, err := p.openFile(top, "pace", creating)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt(append(b, bytes.Repeat([]byte(" "), max(0, paceSize-len(b)))...), 0)
	return err
}

// paceSize is the size of the file pace: 16 buckets take less.
const paceSize = 4096
