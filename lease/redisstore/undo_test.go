package redisstore_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/clock"
)

// inMicros is how the server writes an instant.
func inMicros(i clock.Instant) string { return fmt.Sprint(time.Duration(i).Microseconds()) }

// TestUndoIsTheRule takes starts back from pools with any past, and compares with
// lease.Starts.Undo.
func TestUndoIsTheRule(t *testing.T) {
	server := known(t)
	s, c := open(t, server, ""), client(t, server)
	dice := rand.New(rand.NewPCG(3, 4))
	micros := func(most int) time.Duration { return time.Duration(1+dice.IntN(most)) * time.Microsecond }
	at := func(most int) clock.Instant { return clock.Instant(micros(most)) }
	changed := 0
	for range 2000 {
		h := try(t, s, job(1, time.Minute))
		was := lease.Starts{Last: at(60), Count: uint64(1 + dice.IntN(5))}
		if dice.IntN(3) == 0 {
			was.Overdrawn = at(60)
		}
		for i := range dice.IntN(3) {
			p := lease.Pace{Every: micros(20), Burst: 2 + i}
			was.Buckets = append(was.Buckets, lease.Bucket{Pace: p, Next: was.Last.Add(micros(70)), LastUse: at(60)})
		}
		u := lease.Start{At: at(60), Nth: uint64(1 + dice.IntN(5))}
		if u.Nth == was.Count && dice.IntN(4) > 0 {
			u.At = was.Last
		}
		if dice.IntN(4) > 0 {
			u.Before = max(0, u.At-at(60))
		}
		fields := starts(was)
		err := c.HSet(t.Context(), "{berth}:pool:p", fields).Err()
		if err == nil {
			err = c.HSet(t.Context(), "{berth}:data:p", "b:"+h.Lease().ID, fmt.Sprintf("%s %s %d", inMicros(u.At), inMicros(u.Before), u.Nth)).Err()
		}
		if err == nil {
			err = h.Unused(within(t))
		}
		if err != nil {
			t.Fatal(err)
		}
		before := fmt.Sprint(was)
		was.Undo(u)
		if fmt.Sprint(was) != before {
			changed++
		}
		got, err := c.HGetAll(t.Context(), "{berth}:pool:p").Result()
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range starts(was) {
			if got[name] != want {
				t.Fatalf("%+v taken back from %s: %s is %q, want %q", u, before, name, got[name], want)
			}
		}
	}
	if changed < 200 {
		t.Errorf("only %d of these changed anything", changed)
	}
}

// starts are the fields in which the script keeps them.
func starts(s lease.Starts) map[string]string {
	var b strings.Builder
	for _, k := range s.Buckets {
		fmt.Fprintf(&b, "%d %d %s %s;", k.Every.Nanoseconds(), k.Burst, inMicros(k.Next), inMicros(k.LastUse))
	}
	return map[string]string{
		"last": inMicros(s.Last), "buckets": b.String(),
		"count": fmt.Sprint(s.Count), "over": inMicros(s.Overdrawn),
	}
}
