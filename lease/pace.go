package lease

import (
	"fmt"
	"slices"
	"time"

	"berth/lease/clock"
)

// Pace bounds how fast starts follow each other in a pool: one Every so often,
// and up to Burst at once after a quiet time. It is a token bucket of that size,
// kept as its virtual schedule (GCRA, ITU-T I.371), so that all a pool has to
// remember of it is one instant.
type Pace struct {
	Every time.Duration `json:"every_ns"`
	Burst int           `json:"burst"` // from 1
}

// MaxBurst and MaxEvery bound a Pace whose Burst is over 1: their product fits.
const (
	MaxBurst = 1000
	MaxEvery = 30 * 24 * time.Hour
)

// Starts is what a pool remembers of its starts, on its store's clock. Each
// start counts, also of those who keep to no pace: whoever keeps to one asks for
// it of the pool.
type Starts struct {
	Last    clock.Instant `json:"last_ns,omitempty"` // when the last one was; 0: not known
	Buckets []Bucket      `json:"buckets,omitempty"` // of the paces with a Burst
	// Count is how many there were, and Over when one was last that found a bucket
	// empty, for Undo.
	Count     uint64        `json:"count,omitempty"`
	Overdrawn clock.Instant `json:"over_ns,omitempty"`
	// Slow is the slowest pace without a burst that a start kept to, if it is slower
	// than one in a day, and Used is when the last one was, also if it was taken back:
	// for those who forget a pool.
	Slow    time.Duration `json:"slow_ns,omitempty"`
	LastUse clock.Instant `json:"used_ns,omitempty"`
	// BucketsLost is when the last start was that is in buckets which nobody has any more: one
	// that is not there was empty then.
	BucketsLost clock.Instant `json:"lost_ns,omitempty"`
}

// Start is what a lease remembers of its own one, so that it can be taken back.
type Start struct {
	At     clock.Instant `json:"at_ns"`               // Last since then
	Before clock.Instant `json:"before_ns,omitempty"` // and what it was; 0: not known
	Nth    uint64        `json:"nth,omitempty"`       // Count since then; 0: nobody counted
}

// Bucket is empty, and the pace lets nobody start, until Next - (Burst-1)*Every.
type Bucket struct {
	Pace
	Next    clock.Instant `json:"next_ns"`  // when it would have been the next one's turn, without a burst
	LastUse clock.Instant `json:"asked_ns"` // when somebody last kept to this pace
}

const (
	// A bucket is remembered for so long after somebody kept to its pace, and until
	// it is full again: others' starts count in it only as long as it is there.
	bucketKept = 24 * time.Hour
	// More different paces than this, and the one that is longest out of use is
	// forgotten.
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

// Wait is how long the paces let the next start wait, and which of them does for
// the longest; 0: not at all.
func (s *Starts) Wait(now clock.Instant, paces ...Pace) (wait time.Duration, by Pace) {
	for _, p := range paces {
		if w := s.next(now, p).Sub(now) - p.times(p.Burst-1); w > wait {
			wait, by = w, p
		}
	}
	return wait, by
}

// next is when, by its schedule, it is the turn of p's next start. An instant
// that this clock has not seen yet is of another boot: nothing is known then.
func (s *Starts) next(now clock.Instant, p Pace) clock.Instant {
	for _, b := range s.Buckets {
		if b.Pace == p && b.LastUse <= now {
			return min(b.Next, now.Add(p.times(p.Burst))) // empty is empty, whoever emptied it
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

// ClampTo is what is remembered as a clock has it that shows now: what a clock ahead of
// it has written of the same boot, as another time namespace's is, was now.
func (s *Starts) ClampTo(now clock.Instant) {
	s.Last, s.Overdrawn, s.BucketsLost = min(s.Last, now), min(s.Overdrawn, now), min(s.BucketsLost, now)
	for i, b := range s.Buckets {
		s.Buckets[i].LastUse = min(b.LastUse, now)
		s.Buckets[i].Next = min(b.Next, now.Add(b.times(b.Burst))) // empty is empty
	}
}

// Add counts a start of somebody who keeps to these paces.
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
	s.Buckets = s.Buckets[max(0, len(s.Buckets)-maxBuckets):] // the last asked for is the last
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

// StillCount reports whether a start still counts for a pace that somebody kept to, and that
// has a burst or is slower than one in a day. A pool that is forgotten when none does,
// and nobody has started for a day, lets nobody start too soon.
func (s *Starts) StillCount(now clock.Instant) bool {
	if s.BucketsLost > 0 && s.BucketsLost <= now {
		return true // for a pace that nobody knows
	}
	if s.Slow > 0 && s.Last > 0 && s.Last <= now && now < s.Last.Add(s.Slow) {
		return true
	}
	return slices.ContainsFunc(s.Buckets, func(b Bucket) bool { return b.LastUse <= now && now < b.Next })
}

// Undo takes a start back: nothing ran. If nobody has started since, all is as if it
// had not been; else what others may still take is never more than that, and mostly
// the same.
//
// A bucket's Next is the latest of t + n*Every over all its starts, with t the instant
// of one and n how many there were from it on. Without ours it is no earlier than one
// Every before, and no later than if all n that came since had come with the last of
// them, or right after the one before ours, which is all that a bucket knows of the
// time before it was made. A start that found a bucket empty took nothing from it, and
// nobody knows what it would have found: then nothing is given back.
func (s *Starts) Undo(u Start) {
	last := s.Last == u.At && (u.Nth == 0 || u.Nth == s.Count)
	if u.Nth > 0 && s.Overdrawn < u.At && (last || s.Count > u.Nth) {
		n := s.Count - u.Nth
		for i, b := range s.Buckets {
			if n >= uint64(b.Burst) {
				continue // all that is missing was taken since; and below, the product fits
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
