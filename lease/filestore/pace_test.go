//go:build unix

package filestore

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/clock"
	"berth/lease/storetest"
)

func burst() lease.Request {
	r := storetest.Request("p", 9)
	r.Rate = lease.Pace{Every: time.Hour, Burst: 2}
	return r
}

// TestPaceFile: what is damaged, cut or gone has empty buckets, what is of another boot
// has none, and what is newer is refused.
func TestPaceFile(t *testing.T) {
	asItWas := func(old []byte) []byte { return old }
	newer := []byte(`{"v":9`)
	newer = fmt.Appendf(newer, paceSum, hash([]byte(`{"v":9`)))
	for _, c := range []struct {
		why    string
		change func([]byte) []byte
		boots  bool // the machine has booted since
		starts bool
	}{
		{"as it was left", asItWas, false, false},
		{"garbage", func([]byte) []byte { return []byte("garbage") }, false, false},
		{"cut", func(old []byte) []byte { return old[:30] }, false, false},
		{"empty", func([]byte) []byte { return []byte{} }, false, false},
		{"gone", func([]byte) []byte { return nil }, false, false},
		{"with another number", func(old []byte) []byte {
			return bytes.Replace(old, []byte(`"burst":2`), []byte(`"burst":3`), 1)
		}, false, false},
		{"with another version", func(old []byte) []byte {
			return bytes.Replace(old, []byte(`"v":1`), []byte(`"v":2`), 1)
		}, false, false},
		{"newer", func([]byte) []byte { return newer }, false, false},
		{"of another boot", asItWas, true, true},
		{"gone with another boot", func([]byte) []byte { return nil }, true, true},
		{"after the clock was set forward", asItWas, false, false},
	} {
		s := newStore(t)
		for range 2 {
			giveBack(t, takeSlot(t, s, burst()))
		}
		text, path := c.change([]byte(content(t, s, "pace"))), s.path("p", "pace")
		err := os.WriteFile(path, text, 0o600)
		if text == nil {
			err = os.Remove(path)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"pace", "lock"} {
			if old := time.Now().Add(-time.Duration(clock.Now()) - time.Hour); c.boots || strings.Contains(c.why, "clock") {
				if err := os.Chtimes(s.path("p", name), old, old); err != nil && text != nil {
					t.Fatal(err)
				}
			}
		}
		if c.boots {
			s = afterABoot(t, s)
		}
		// A request without a pace may start, and nothing changes for the others.
		for _, unpaced := range []bool{false, true} {
			if unpaced && c.why != "newer" && !c.starts {
				giveBack(t, takeSlot(t, s, storetest.Request("p", 9)))
			}
			h, v, err := s.TryAcquire(t.Context(), burst())
			if started := h != nil; started != c.starts || (err != nil) != (c.why == "newer") {
				t.Errorf("%s: %v, %+v, %v; want a start: %v", c.why, h, v, err, c.starts)
			}
			if h != nil {
				giveBack(t, h)
			}
		}
	}
}

// TestFirstBurst: a pool that never had a bucket has lost none.
func TestFirstBurst(t *testing.T) {
	s := newStore(t)
	giveBack(t, takeSlot(t, s, storetest.Request("p", 9)))
	giveBack(t, takeSlot(t, s, burst()))
}

// TestPaceOfAnotherTimeNamespace: its clock is ahead of ours, in the same boot. A start
// there counts as if it was now, and that passes.
func TestPaceOfAnotherTimeNamespace(t *testing.T) {
	const ahead = 1000 * time.Hour
	ramp := storetest.Request("p", 9)
	ramp.Ramp = time.Hour
	for _, r := range []lease.Request{ramp, burst()} {
		s := newStore(t)
		giveBack(t, takeSlot(t, s, burst()))
		giveBack(t, takeSlot(t, s, burst()))
		p, err := s.pool("p", false)
		if err != nil {
			t.Fatal(err)
		}
		defer p.close()
		err = p.locked(t.Context(), func(ix *index) error {
			starts, err := p.starts(ix)
			if err != nil {
				return err
			}
			ix.start += uint64(ahead)
			for i := range starts.Buckets {
				starts.Buckets[i].LastUse += clock.Instant(ahead)
				starts.Buckets[i].Next += clock.Instant(ahead)
			}
			return p.writePace(&starts)
		})
		if err != nil {
			t.Fatal(err)
		}
		var before clock.Instant
		for range 2 {
			r.ID = lease.NewID("p")
			h, v, err := s.TryAcquire(t.Context(), r)
			if h != nil || err != nil || v.Reason != lease.Paced {
				t.Fatalf("%v, %+v, %v; want paced", h, v, err)
			}
			err = p.locked(t.Context(), func(ix *index) error {
				starts, err := p.starts(ix)
				if len(starts.Buckets) != 1 {
					t.Fatalf("%+v", starts)
				}
				next := max(starts.Last, starts.Buckets[0].Next)
				if before != 0 && next != before {
					t.Errorf("%v, then %v: it moves on with the clock", before, next)
				}
				before = next
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestPaceThatIsOverBeforeTheSleep: a head that is slow between its check and its sleep slept
// until the next full check.
func TestPaceThatIsOverBeforeTheSleep(t *testing.T) {
	var o Timings
	o.fill()
	h := head{watch: &watch{}, checks: len(o.FollowUps), fullCheck: time.Now().Add(time.Hour)}
	h.onChecked(&o, lease.Verdict{Reason: lease.Paced, After: 1})
	for time.Now().Before(h.pacedUntil) {
	}
	if d := h.timeout(&o); d > 0 {
		t.Errorf("it sleeps for %v", d)
	}
	h.onChecked(&o, lease.Verdict{Reason: lease.Full})
	if d := h.timeout(&o); d < time.Minute {
		t.Errorf("without a pace, it sleeps for %v only", d)
	}
}
