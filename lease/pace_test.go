package lease

import (
	"testing"
	"time"
)

// starts plays callers who start as soon as they may, each with the paces given.
func starts(s *Starts, now time.Duration, n int, paces ...Pace) []time.Duration {
	var at []time.Duration
	for range n {
		wait, _ := s.Wait(now, paces...)
		now += wait
		s.Add(now, paces...)
		at = append(at, now)
	}
	return at
}

func TestPace(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		why   string
		old   Starts
		now   time.Duration
		paces []Pace
		want  []time.Duration
	}{
		{"none", Starts{}, 100 * s, nil, []time.Duration{100 * s, 100 * s}},
		{"one after the other", Starts{}, 100 * s, []Pace{{s, 1}}, []time.Duration{100 * s, 101 * s, 102 * s}},
		{"also after somebody else's", Starts{Last: 99*s + s/2}, 100 * s, []Pace{{s, 1}}, []time.Duration{100*s + s/2, 101*s + s/2}},
		{"a burst, then evenly", Starts{}, 100 * s, []Pace{{s, 3}}, []time.Duration{100 * s, 100 * s, 100 * s, 101 * s, 102 * s}},
		{"all of them hold", Starts{}, 100 * s, []Pace{{s, 3}, {s / 2, 1}}, []time.Duration{100 * s, 100*s + s/2, 101 * s, 101*s + s/2, 102 * s, 103 * s}},
		{"of another boot", Starts{Last: 500 * s, Buckets: []Bucket{{Pace{s, 2}, 900 * s, 500 * s}}}, 100 * s, []Pace{{s, 2}}, []time.Duration{100 * s, 100 * s, 101 * s}},
	} {
		got := starts(&c.old, c.now, len(c.want), c.paces...)
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: %v, want %v", c.why, got, c.want)
				break
			}
		}
	}
}

// TestPaceCountsOthers: who keeps to no pace uses up the bucket of those who do.
func TestPaceCountsOthers(t *testing.T) {
	p, now := Pace{time.Second, 3}, 100*time.Second
	var s Starts
	starts(&s, now, 1, p)
	starts(&s, now, 2)
	if got, by := s.Wait(now, p); got != time.Second || by != p {
		t.Errorf("wait %v by %v, want 1s by %v", got, by, p)
	}
	if got, _ := s.Wait(now); got != 0 {
		t.Errorf("wait %v without a pace", got)
	}
}

// TestIdlePoolSavesNothingUp: after a quiet time a bucket is full, and no more.
func TestIdlePoolSavesNothingUp(t *testing.T) {
	const s = time.Second
	p := Pace{s, 2}
	var st Starts
	starts(&st, 100*s, 5, p)
	if got := starts(&st, 1000*s, 4, p); got[1] != 1000*s || got[2] != 1001*s || got[3] != 1002*s {
		t.Errorf("%v, want two at once and then one a second", got)
	}
}

// TestBucketHeals: a number that no starts can have led to holds nobody up for long,
// and a slow pace is remembered until its bucket is full.
func TestBucketHeals(t *testing.T) {
	p, now := Pace{time.Second, 3}, 100*time.Second
	s := Starts{Buckets: []Bucket{{p, 1 << 62, now}}}
	if got, _ := s.Wait(now, p); got != time.Second {
		t.Errorf("wait %v, want 1s", got)
	}
	s = Starts{Buckets: []Bucket{{p, now, 2 * now}}}
	if s.Add(now); len(s.Buckets) != 0 {
		t.Errorf("%v is kept, of another boot", s.Buckets)
	}
	slow := Pace{7 * bucketKept, 2}
	s = Starts{}
	starts(&s, now, 2, slow)
	now += 2 * bucketKept
	s.Add(now)
	if got, _ := s.Wait(now, slow); got != 7*bucketKept {
		t.Errorf("wait %v, want %v: the bucket is empty", got, 7*bucketKept)
	}
}

func TestBucketsAreBounded(t *testing.T) {
	var s Starts
	for i := range 100 {
		starts(&s, 100*time.Second, 1, Pace{time.Second, i + 2})
	}
	if len(s.Buckets) != maxBuckets {
		t.Errorf("%d buckets", len(s.Buckets))
	}
	for h := range 48 { // starts go on, and nobody asks for those paces any more
		s.Add(time.Duration(h)*time.Hour, Pace{time.Second, 1})
	}
	if len(s.Buckets) != 0 {
		t.Errorf("%d buckets that nobody asks for are kept", len(s.Buckets))
	}
}
