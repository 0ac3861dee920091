package lease

import (
	"fmt"
	"slices"
	"time"

	"berth/lease/clock"
)

// Pace bounds how fast starts follow each other in a pool: one Every so often,
// and up to Burst at once after a quiet time. It is a token bucket of Burst tokens,
// kept as a virtual schedule (GCRA, ITU-T I.371), so a pool has to remember only
// one instant of it.
type Pace struct {
	Every time.Duration `json:"every_ns"`
	Burst int           `json:"burst"` // from 1
}

// MaxBurst and MaxEvery bound a Pace whose Burst is over 1, so that their product fits.
const (
	MaxBurst = 1000
	MaxEvery = 30 * 24 * time.Hour
)

// Starts is what a pool remembers of its starts, on its store's clock. Every start
// counts, also of a request that keeps to no pace: a pace is about the whole pool.
type Starts struct {
	Last    clock.Instant `json:"last_ns,omitempty"` // when the last one was; 0: not known
	Buckets []Bucket      `json:"buckets,omitempty"` // of the paces with a Burst
	// Count is the number of starts, and Overdrawn when one last found a bucket
	// empty: for Undo.
	Count     uint64        `json:"count,omitempty"`
	Overdrawn clock.Instant `json:"over_ns,omitempty"`
	// Slow is the slowest pace without a burst that a start kept to, if it is slower
	// than one in a day. LastUse is when the last start was, even if it was taken back.
	// Both decide when a pool may be forgotten.
	Slow    time.Duration `json:"slow_ns,omitempty"`
	LastUse clock.Instant `json:"used_ns,omitempty"`
	// BucketsLost is when the last start was whose buckets cannot be read any more:
	// a missing bucket counts as empty at that moment.
	BucketsLost clock.Instant `json:"lost_ns,omitempty"`
}

// Start is what a lease remembers of its own start, so that it can be taken back.
type Start struct {
	At     clock.Instant `json:"at_ns"`               // what Last became
	Before clock.Instant `json:"before_ns,omitempty"` // what Last was; 0: not known
	Nth    uint64        `json:"nth,omitempty"`       // what Count became; 0: not counted
}

// Bucket has no token, and so lets no job start, before Next - (Burst-1)*Every: GCRA's
// theoretical arrival time minus its burst tolerance.
type Bucket struct {
	Pace
	Next    clock.Instant `json:"next_ns"`  // when the next start would be due without a burst
	LastUse clock.Instant `json:"asked_ns"` // when a start last kept to this pace
}

const (
	// bucketKept is how long a bucket is kept at least after a start that kept to its
	// pace; longer, if it takes longer to fill. Other starts count in it only while it
	// is kept.
	bucketKept = 24 * time.Hour
	// maxBuckets bounds the paces that are remembered: the least recently used goes.
	maxBuckets = 16
)

// times is how long n starts take without a burst.
func (p Pace) times(n int) time.Duration { return time.Duration(n) * p.Every }

func (p Pace) String() string {
	if p.Burst > 1 {
		return fmt.Sprintf("one in %v, up to %d at once", p.Every, p.Burst)
	}
	return fmt.Sprintf("one in %v", p.Every)
}

// Wait is how long the next start has to wait for these paces, 0 if it need not, and
// which of them takes longest.
func (s *Starts) Wait(now clock.Instant, paces ...Pace) (wait time.Duration, by Pace) {
	for _, p := range paces {
		if w := s.next(now, p).Sub(now) - p.times(p.Burst-1); w > wait {
			wait, by = w, p
		}
	}
	return wait, by
}

// next is when the next start is due by p's schedule, without a burst. An instant that
// this clock has not reached is of another boot, and says nothing.
func (s *Starts) next(now clock.Instant, p Pace) clock.Instant {
	for _, b := range s.Buckets {
		if b.Pace == p && b.LastUse <= now {
			return min(b.Next, now.Add(p.times(p.Burst))) // a bucket cannot be emptier than empty
		}
	}
	next := now
	if s.Last > 0 && s.Last <= now {
		next = s.Last.Add(p.Every)
	}
	if s.BucketsLost > 0 && s.BucketsLost <= now {
		next = max(next, s.BucketsLost.Add(p.times(p.Burst)))
	}
	return next
}

// ClampTo moves what lies after now to now: a clock that is ahead of ours has written it
// in the same boot, as that of another time namespace is.
func (s *Starts) ClampTo(now clock.Instant) {
	s.Last, s.Overdrawn, s.BucketsLost = min(s.Last, now), min(s.Overdrawn, now), min(s.BucketsLost, now)
	for i, b := range s.Buckets {
		s.Buckets[i].LastUse = min(b.LastUse, now)
		s.Buckets[i].Next = min(b.Next, now.Add(b.times(b.Burst))) // as in next
	}
}

// Add counts a start that keeps to these paces.
func (s *Starts) Add(now clock.Instant, paces ...Pace) Start {
	for _, p := range paces {
		if p.Burst <= 1 && p.Every > bucketKept {
			s.Slow = max(s.Slow, p.Every)
		}
		if p.Burst > 1 {
			next := s.next(now, p)
			s.Buckets = slices.DeleteFunc(s.Buckets, func(b Bucket) bool { return b.Pace == p })
			s.Buckets = append(s.Buckets, Bucket{p, next, now})
		}
	}
	s.Buckets = slices.DeleteFunc(s.Buckets, func(b Bucket) bool {
		return b.LastUse > now || b.LastUse.Add(max(bucketKept, b.times(b.Burst))) < now
	})
	s.Buckets = s.Buckets[max(0, len(s.Buckets)-maxBuckets):] // in the order of their last use
	for i, b := range s.Buckets {
		empty := now.Add(b.times(b.Burst - 1))
		if b.Next > empty {
			s.Overdrawn = now
		}
		s.Buckets[i].Next = min(max(now, b.Next), empty).Add(b.Every)
	}
	start := Start{At: now, Before: s.Last, Nth: s.Count + 1}
	s.Last, s.Count, s.LastUse = now, start.Nth, now
	return start
}

// StillCount reports whether a start still counts for a pace that a start kept to, and
// that has a burst or is slower than one in a day. A pool may be forgotten once none does
// and no job has started for a day: then no job starts too soon.
func (s *Starts) StillCount(now clock.Instant) bool {
	if s.BucketsLost > 0 && s.BucketsLost <= now {
		return true // for a pace that is not known
	}
	if s.Slow > 0 && s.Last > 0 && s.Last <= now && now < s.Last.Add(s.Slow) {
		return true
	}
	return slices.ContainsFunc(s.Buckets, func(b Bucket) bool { return b.LastUse <= now && now < b.Next })
}

// Undo takes a start back, because nothing ran. If no job has started since, everything
// is as if it had not been. Otherwise others can take no more than then, and mostly the
// same.
//
// A bucket's Next is the latest of t + n*Every over all its starts, where t is the instant
// of a start and n the number of starts from it on. Without our start, Next would be at
// most one Every earlier. It would be no later than if the n starts since ours had all
// come together with the last of them, or right after the start before ours: that is all
// the bucket knows of the time before it was made. A start that found a bucket empty took
// nothing from it, and what it would have found is not known: then nothing is given back.
func (s *Starts) Undo(u Start) {
	last := s.Last == u.At && (u.Nth == 0 || u.Nth == s.Count)
	if u.Nth > 0 && s.Overdrawn < u.At && (last || s.Count > u.Nth) {
		n := s.Count - u.Nth
		for i, b := range s.Buckets {
			if n >= uint64(b.Burst) {
				continue // later starts took every token; and the product below fits
			}
			since := b.times(int(n))
			latest := max(b.Next.Add(-b.Every), s.Last.Add(since))
			if n > 0 && u.Before > 0 {
				latest = max(latest, u.Before.Add(since+b.Every))
			}
			s.Buckets[i].Next = min(b.Next, latest)
		}
	}
	if last {
		s.Last = u.Before
		s.Count -= min(u.Nth, 1)
	}
}
