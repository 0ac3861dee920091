package lease

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"berth/lease/clock"
)

func TestDecide(t *testing.T) {
	n := func(i int) *int { return &i }
	for _, c := range []struct {
		why   string
		s     PoolState
		r     Request
		want  Reason
		limit int
	}{
		{"empty pool", PoolState{}, Request{Limit: 1, Weight: 1}, Ready, 1},
		{"one left", PoolState{Used: 3, RequestedLimit: 4}, Request{Limit: 4, Weight: 1}, Ready, 4},
		{"none left", PoolState{Used: 4, RequestedLimit: 4}, Request{Limit: 4, Weight: 1}, Full, 4},
		{"a holder asks for less", PoolState{Used: 2, RequestedLimit: 2}, Request{Limit: 5, Weight: 1}, Full, 2},
		{"the caller asks for less", PoolState{Used: 2, RequestedLimit: 5}, Request{Limit: 2, Weight: 1}, Full, 2},
		{"the pool's own is less", PoolState{Own: Settings{Limit: n(1)}, Used: 1, RequestedLimit: 5}, Request{Limit: 5, Weight: 1}, Full, 1},
		{"the pool's own is more", PoolState{Own: Settings{Limit: n(9)}, Used: 2, RequestedLimit: 2}, Request{Limit: 5, Weight: 1}, Full, 2},
		{"the pool's own alone", PoolState{Own: Settings{Limit: n(3)}, Used: 2}, Request{Weight: 1, Fallback: 1}, Ready, 3},
		{"no limit: the fallback", PoolState{Used: 2}, Request{Weight: 1, Fallback: 2}, Full, 2},
		{"drained", PoolState{Own: Settings{Limit: n(0)}}, Request{Limit: 5, Weight: 1}, Drained, 0},
		{"drained, whatever the weight", PoolState{Own: Settings{Limit: n(0)}}, Request{Limit: 5, Weight: 5}, Drained, 0},
		{"another is before", PoolState{Ahead: 1}, Request{Limit: 5, Weight: 1}, Behind, 5},
		{"heavy fits", PoolState{Used: 2, RequestedLimit: 5}, Request{Limit: 5, Weight: 3}, Ready, 5},
		{"heavy does not fit", PoolState{Used: 3, RequestedLimit: 5}, Request{Limit: 5, Weight: 3}, Full, 5},
		{"heavier than its own limit", PoolState{}, Request{Limit: 2, Weight: 3}, TooHeavy, 2},
		{"heavier than the pool's own", PoolState{Own: Settings{Limit: n(2)}}, Request{Limit: 5, Weight: 3}, TooHeavy, 2},
		{"heavier than a holder's limit, for now", PoolState{Used: 1, RequestedLimit: 2}, Request{Limit: 5, Weight: 3}, Full, 2},
		{"too heavy even behind others", PoolState{Ahead: 3}, Request{Limit: 2, Weight: 3}, TooHeavy, 2},
		{"over the limit after it shrank", PoolState{Own: Settings{Limit: n(2)}, Used: 7, RequestedLimit: 9}, Request{Limit: 9, Weight: 1}, Full, 2},
	} {
		v := Decide(c.s, c.r, Clearance{})
		if v.Reason != c.want || v.Limit != c.limit || v.Used != c.s.Used {
			t.Errorf("%s: %+v, want %s with limit %d", c.why, v, c.want, c.limit)
		}
	}
}

// TestDecideConditions: what must hold besides the limit, in the order in which it is
// looked at: gates last, since asking them costs.
func TestDecideConditions(t *testing.T) {
	const s, at = time.Second, clock.Instant(time.Second)
	gated := Request{Limit: 5, Weight: 1, Conditions: Conditions{Gates: "mine", MinSlots: 1}}
	pool := Settings{Conditions: Conditions{Gates: "pool", Ramp: s}}
	for _, c := range []struct {
		why       string
		s         PoolState
		r         Request
		clearance Clearance
		want      Reason
		gates     string
		after     time.Duration
		since     time.Duration
	}{
		{"too soon, also for gates", PoolState{Own: pool, Starts: Starts{Last: 99*at + at/4}, Clock: 100 * at}, gated, Clearance{}, Paced, "[]", s / 4, 0},
		{"too soon, but full before that", PoolState{Own: pool, Used: 5, Starts: Starts{Last: 99*at + at/4}, Clock: 100 * at}, gated, Clearance{}, Full, "[]", 0, 0},
		{"holders may be forgotten, before too soon", PoolState{Own: pool, Starts: Starts{Last: 99*at + at/4}, Clock: 100 * at, RecoveringFor: 7 * s}, gated, Clearance{}, Recovering, "[]", 7 * s, 0},
		{"full, before holders may be forgotten", PoolState{Own: pool, Used: 5, Clock: 100 * at, RecoveringFor: 7 * s}, gated, Clearance{}, Full, "[]", 0, 0},
		{"the pool's gates", PoolState{Own: pool, Starts: Starts{Last: 99 * at}, Clock: 100 * at}, gated, Clearance{}, Gated, "[pool]", 0, s},
		{"and the caller's", PoolState{Own: pool, Used: 1, Clock: 100 * at}, gated, Clearance{}, Gated, "[pool mine]", 0, -1},
		{"asked, and changed since", PoolState{Own: pool, Used: 1, Clock: 100 * at}, gated, Clearance{Gates: []string{"mine", "pool before"}, At: 90 * at}, Gated, "[pool mine]", 0, -1},
		{"asked", PoolState{Own: pool, Used: 1, Clock: 100 * at}, gated, Clearance{Gates: []string{"pool", "mine"}, At: 90 * at}, Ready, "[]", 0, 0},
		{"asked too long ago", PoolState{Own: pool, Used: 1, Clock: 100 * at}, gated, Clearance{Gates: []string{"pool", "mine"}, At: 84 * at}, Gated, "[pool mine]", 0, -1},
		{"asked before the last start", PoolState{Own: pool, Used: 1, Starts: Starts{Last: 98 * at}, Clock: 100 * at}, gated, Clearance{Gates: []string{"pool", "mine"}, Last: 97 * at, At: 99 * at}, Gated, "[pool mine]", 0, 2 * s},
		{"a ramp does not hold below the least", PoolState{Starts: Starts{Last: 99*at + at/2}, Clock: 100 * at}, Request{Limit: 5, Weight: 1, Conditions: Conditions{MinSlots: 1, Ramp: s}}, Clearance{}, Ready, "[]", 0, 0},
		{"a rate does", PoolState{Starts: Starts{Last: 99*at + at/2}, Clock: 100 * at}, Request{Limit: 5, Weight: 1, Conditions: Conditions{MinSlots: 1, Rate: Pace{s, 1}}}, Clearance{}, Paced, "[]", s / 2, 0},
		{"fewer than the least", PoolState{}, gated, Clearance{}, Ready, "[]", 0, 0},
		{"a start of another boot", PoolState{Used: 1, Starts: Starts{Last: 200 * at}, Clock: 100 * at}, gated, Clearance{}, Gated, "[mine]", 0, -1},
	} {
		v := Decide(c.s, c.r, c.clearance)
		if v.Reason != c.want || fmt.Sprint(v.Gates) != c.gates || v.After != c.after || v.SinceStart != c.since {
			t.Errorf("%s: %+v, want %s, gates %s, after %v, since %v", c.why, v, c.want, c.gates, c.after, c.since)
		}
	}
}

func TestCheckPool(t *testing.T) {
	for _, good := range []string{"a", "build", "A.b_c-d@e+9", strings.Repeat("x", MaxPoolName)} {
		if err := CheckPool(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", ".a", "..", "a/b", "a b", "ä", "a\n", "a\x00", strings.Repeat("x", MaxPoolName+1)} {
		if CheckPool(bad) == nil {
			t.Errorf("%q is taken for a good name", bad)
		}
	}
}

func TestID(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := NewID("a.b-c")
		if pool, err := PoolOf(id); err != nil || pool != "a.b-c" || seen[id] {
			t.Fatalf("%s: pool %q, %v, seen %v", id, pool, err, seen[id])
		}
		seen[id] = true
	}
}
