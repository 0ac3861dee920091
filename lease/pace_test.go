package lease

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"berth/lease/clock"
)

// starts plays callers that start as soon as they may, each with the paces given.
func starts(s *Starts, now clock.Instant, n int, paces ...Pace) []clock.Instant {
	var at []clock.Instant
	for range n {
		wait, _ := s.Wait(now, paces...)
		now = now.Add(wait)
		s.Add(now, paces...)
		at = append(at, now)
	}
	return at
}

func TestPace(t *testing.T) {
	const s, at = time.Second, clock.Instant(time.Second)
	for _, c := range []struct {
		why   string
		old   Starts
		now   clock.Instant
		paces []Pace
		want  []clock.Instant
	}{
		{"none", Starts{}, 100 * at, nil, []clock.Instant{100 * at, 100 * at}},
		{"one after the other", Starts{}, 100 * at, []Pace{{s, 1}}, []clock.Instant{100 * at, 101 * at, 102 * at}},
		{"also after another's", Starts{Last: 99*at + at/2}, 100 * at, []Pace{{s, 1}}, []clock.Instant{100*at + at/2, 101*at + at/2}},
		{"a burst, then evenly", Starts{}, 100 * at, []Pace{{s, 3}}, []clock.Instant{100 * at, 100 * at, 100 * at, 101 * at, 102 * at}},
		{"all of them hold", Starts{}, 100 * at, []Pace{{s, 3}, {s / 2, 1}}, []clock.Instant{100 * at, 100*at + at/2, 101 * at, 101*at + at/2, 102 * at, 103 * at}},
		{"of another boot", Starts{Last: 500 * at, Buckets: []Bucket{{Pace{s, 2}, 900 * at, 500 * at}}}, 100 * at, []Pace{{s, 2}}, []clock.Instant{100 * at, 100 * at, 101 * at}},
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

// TestPaceCountsOthers: starts that keep to no pace use up the bucket of those that do.
func TestPaceCountsOthers(t *testing.T) {
	p, now := Pace{time.Second, 3}, clock.Instant(100*time.Second)
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
	const at = clock.Instant(time.Second)
	p := Pace{time.Second, 2}
	var st Starts
	starts(&st, 100*at, 5, p)
	if got := starts(&st, 1000*at, 4, p); got[1] != 1000*at || got[2] != 1001*at || got[3] != 1002*at {
		t.Errorf("%v, want two at once and then one a second", got)
	}
}

// TestBucketHeals: a number that no starts can have led to holds no start up for long,
// and a slow pace is remembered until its bucket is full.
func TestBucketHeals(t *testing.T) {
	p, now := Pace{time.Second, 3}, clock.Instant(100*time.Second)
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
	now = now.Add(2 * bucketKept)
	s.Add(now)
	if got, _ := s.Wait(now, slow); got != 7*bucketKept {
		t.Errorf("wait %v, want %v: the bucket is empty", got, 7*bucketKept)
	}
}

func TestBucketsAreBounded(t *testing.T) {
	var s Starts
	for i := range 100 {
		starts(&s, clock.Instant(100*time.Second), 1, Pace{time.Second, i + 2})
	}
	if len(s.Buckets) != maxBuckets {
		t.Errorf("%d buckets", len(s.Buckets))
	}
	for h := range 48 { // starts go on, and none keeps to those paces any more
		s.Add(clock.Instant(h)*clock.Instant(time.Hour), Pace{time.Second, 1})
	}
	if len(s.Buckets) != 0 {
		t.Errorf("%d buckets that no start keeps to are kept", len(s.Buckets))
	}
}

// TestUndo plays starts, takes one of them back, and says how long those that keep to a
// pace wait then.
func TestUndo(t *testing.T) {
	const s, at = time.Second, clock.Instant(time.Second)
	three, one := Pace{10 * s, 3}, Pace{10 * s, 1}
	type start struct {
		at    clock.Instant
		paces []Pace
	}
	by := func(at clock.Instant, paces ...Pace) start { return start{at, paces} }
	for _, c := range []struct {
		why    string
		starts []start
		undo   int // which of them
		pace   Pace
		with   time.Duration // the wait right after the last of them, all counted
		want   time.Duration // and with that one taken back
	}{
		{"the only one", []start{by(100*at, one)}, 0, one, 10 * s, 0},
		{"the last: as the one before has it", []start{by(100*at, one), by(103 * at)}, 1, one, 10 * s, 7 * s},
		{"not the last", []start{by(100*at, one), by(111 * at)}, 0, one, 10 * s, 10 * s},
		{"of a bucket that was full", []start{by(100*at, three), by(101*at, three), by(102*at, three)}, 2, three, 8 * s, 0},
		{"and another has started since", []start{by(100*at, three), by(101*at, three), by(102*at, three)}, 1, three, 8 * s, 0},
		{"of a bucket that has filled up since", []start{by(100*at, three), by(200*at, three), by(200*at, three), by(200*at, three)}, 0, three, 10 * s, 10 * s},
		{"one that took nothing", []start{by(100*at, three), by(100*at, three), by(100*at, three), by(101 * at)}, 3, three, 10 * s, 10 * s},
		{"while another took nothing", []start{by(100*at, three), by(100*at, three), by(100*at, three), by(101 * at)}, 2, three, 10 * s, 10 * s},
		{"before there was a bucket", []start{by(100 * at), by(102*at, three), by(103*at, three)}, 0, three, 7 * s, 0},
		{"the same, and another before it", []start{by(95 * at), by(100 * at), by(102*at, three), by(103*at, three)}, 1, three, 7 * s, 2 * s},
	} {
		var st Starts
		var made []Start
		for _, b := range c.starts {
			made = append(made, st.Add(b.at, b.paces...))
		}
		now := c.starts[len(c.starts)-1].at
		if got, _ := st.Wait(now, c.pace); got != c.with {
			t.Errorf("%s: wait %v with all counted, want %v", c.why, got, c.with)
		}
		st.Undo(made[c.undo])
		if got, _ := st.Wait(now, c.pace); got != c.want {
			t.Errorf("%s: wait %v, want %v", c.why, got, c.want)
		}
	}
}

// TestUndoInTurn: two that fail leave nothing, whichever is first.
func TestUndoInTurn(t *testing.T) {
	p, now := Pace{time.Hour, 3}, clock.Instant(100*time.Second)
	for _, order := range [][]int{{0, 1}, {1, 0}} {
		var s Starts
		made := []Start{s.Add(now, p), s.Add(now+1, p)}
		for _, i := range order {
			s.Undo(made[i])
		}
		for i := range 3 {
			if wait, _ := s.Wait(now+2, p); wait > 0 {
				t.Fatalf("undone %v: start %d waits %v", order, i, wait)
			}
			s.Add(now+2, p)
		}
	}
}

// TestUndoTwice: the answer to the first may have been lost.
func TestUndoTwice(t *testing.T) {
	p, now := Pace{time.Hour, 3}, clock.Instant(100*time.Second)
	var s Starts
	s.Add(now, p)
	u := s.Add(now+1, p)
	s.Undo(u)
	once := fmt.Sprint(s)
	if s.Undo(u); fmt.Sprint(s) != once {
		t.Errorf("%v, and once more %v", once, s)
	}
}

// TestUndoIsSafe compares with a history in which the start never was, at random: the
// next start waits no less than there, and, if none had come since, no more.
func TestUndoIsSafe(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	paces := []Pace{{10, 1}, {10, 2}, {10, 3}, {7, 3}, {25, 2}}
	type step struct {
		at    clock.Instant
		keeps []Pace
	}
	asIfNot, of := 0, 0
	for range 100_000 {
		var steps []step
		var with, without Starts
		var made []Start
		now := clock.Instant(1000)
		for range 1 + dice.IntN(9) {
			now += 1 + clock.Instant(dice.IntN(1+dice.IntN(30)))
			var keeps []Pace
			if dice.IntN(3) > 0 { // else one that keeps to none
				for _, p := range paces {
					if dice.IntN(4) == 0 {
						keeps = append(keeps, p)
					}
				}
				wait, _ := with.Wait(now, keeps...)
				now = now.Add(wait)
			}
			steps = append(steps, step{now, keeps})
			made = append(made, with.Add(now, keeps...))
		}
		i := dice.IntN(len(steps))
		for j, s := range steps {
			if j != i {
				without.Add(s.at, s.keeps...)
			}
		}
		before := fmt.Sprintf("%+v", with)
		with.Undo(made[i])
		exact := i == len(steps)-1 && with.Overdrawn < made[i].At
		for _, p := range paces {
			got, _ := with.Wait(now, p)
			want, _ := without.Wait(now, p)
			if got < want || exact && got != want {
				t.Fatalf("%+v: start %d taken back from %s is %+v: %v waits %v, and %v if it had not been", steps, i, before, with, p, got, want)
			}
			of++
			if got == want {
				asIfNot++
			}
		}
	}
	if asIfNot < of*9/10 {
		t.Errorf("%d of %d times as if it had not been", asIfNot, of)
	}
}

// TestPacesHold: what is remembered of the starts may be forgotten, after a day, when it
// holds no start up any more.
func TestPacesHold(t *testing.T) {
	const day, now = 24 * time.Hour, clock.Instant(100 * time.Hour)
	for _, c := range []struct {
		why   string
		paces []Pace
		until clock.Instant
	}{
		{"none", nil, 0},
		{"one that a day is long for", []Pace{{time.Hour, 1}}, 0},
		{"a slow one", []Pace{{30 * day, 1}}, now.Add(time.Hour + 30*day)},
		{"the slowest", []Pace{{30 * day, 1}, {3 * day, 1}}, now.Add(time.Hour + 30*day)},
		{"a burst", []Pace{{20 * day, 2}}, now.Add(40 * day)},
		{"both", []Pace{{time.Hour, 5}, {2 * day, 1}}, now.Add(time.Hour + 2*day)},
	} {
		var s Starts
		s.Add(now, c.paces...)
		last := s.Add(now.Add(time.Hour), Pace{time.Minute, 1})
		if c.until > 0 && !s.StillCount(c.until-1) {
			t.Errorf("%s: over before %v", c.why, c.until)
		}
		over := max(now.Add(time.Hour+day), c.until)
		if s.StillCount(over) {
			t.Errorf("%s: not over at %v", c.why, over)
		}
		for _, p := range c.paces {
			if wait, _ := s.Wait(over, p); wait > 0 {
				t.Errorf("%s: %v would wait for %v after that", c.why, p, wait)
			}
		}
		if s.StillCount(now - 1) {
			t.Errorf("%s: of another boot, and it holds", c.why)
		}
		if s.Undo(last); s.LastUse != now.Add(time.Hour) {
			t.Errorf("%s: used %v, want %v", c.why, s.LastUse, now.Add(time.Hour))
		}
	}
}

// TestStillCount: a pool is kept for as long as a start counts, to the nanosecond.
func TestStillCount(t *testing.T) {
	const now, day = clock.Instant(100 * time.Hour), 24 * time.Hour
	bucket := func(next, lastUse clock.Instant) Starts {
		return Starts{Buckets: []Bucket{{Pace{time.Hour, 2}, next, lastUse}}}
	}
	slow := func(last clock.Instant) Starts { return Starts{Last: last, Slow: 2 * day} }
	for _, c := range []struct {
		why    string
		starts Starts
		want   bool
	}{
		{"none", Starts{}, false},
		{"one long ago", Starts{Last: 1}, false},
		{"buckets were lost", Starts{BucketsLost: now - 1}, true},
		{"buckets were lost just now", Starts{BucketsLost: now}, true},
		{"buckets were lost in another boot", Starts{BucketsLost: now + 1}, false},
		{"a slow pace", slow(now.Add(-2*day) + 1), true},
		{"a slow pace that is over", slow(now.Add(-2 * day)), false},
		{"a slow pace of another boot", slow(now + 1), false},
		{"a slow pace, the start taken back", slow(0), false},
		{"a bucket", bucket(now+1, now), true},
		{"a bucket that is full", bucket(now, now), false},
		{"a bucket of another boot", bucket(now+2, now+1), false},
	} {
		if got := c.starts.StillCount(now); got != c.want {
			t.Errorf("%s: %t, want %t", c.why, got, c.want)
		}
	}
}

// TestBucketsAreKept: for a day after their last use, or until they are full; and so many.
func TestBucketsAreKept(t *testing.T) {
	const now, day = clock.Instant(100 * time.Hour), 24 * time.Hour
	for _, c := range []struct {
		why  string
		pace Pace
		kept time.Duration
	}{
		{"a fast one", Pace{time.Second, 2}, day},
		{"a slow one", Pace{20 * time.Hour, 2}, 40 * time.Hour},
	} {
		for after, want := range map[time.Duration]int{c.kept: 1, c.kept + 1: 0} {
			var s Starts
			s.Add(now, c.pace)
			if s.Add(now.Add(after)); len(s.Buckets) != want {
				t.Errorf("%s: %d buckets after %v, want %d", c.why, len(s.Buckets), after, want)
			}
		}
	}
	var s Starts
	for i := range 17 {
		s.Add(now, Pace{time.Second, i + 2})
	}
	if len(s.Buckets) != 16 || s.Buckets[0].Burst != 3 || s.Buckets[15].Burst != 18 {
		t.Errorf("%v, want the last 16", s.Buckets)
	}
}
