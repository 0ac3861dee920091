package lease

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// partsOf are the parts of a job.
func partsOf(w *world, i int) (parts []int) {
	for k, j := range w.jobs {
		if slices.Contains(j.in, i) {
			parts = append(parts, k)
		}
	}
	return parts
}

// plainSettle looks at all jobs again until nothing changes.
func plainSettle(w *world, done []bool) {
	p := newPlay(w)
	for again := true; again; {
		again = false
		for i := range w.jobs {
			p.done, p.ahead, p.parts[i] = done, make([]int, len(w.pools)), 0
			waits := slices.ContainsFunc(partsOf(w, i), func(k int) bool { return !done[k] })
			if !done[i] && !waits && p.canEnd(i) {
				done[i], again = true, true
			}
		}
	}
}

// plainCircles are the circles by the same rule, with everything played through from the
// beginning for each question.
func plainCircles(w *world) (circles []Circle) {
	done := make([]bool, len(w.jobs))
	for plainSettle(w, done); slices.Contains(done, false); plainSettle(w, done) {
		rest := slices.Clone(done)
		for i := range slices.Backward(rest) {
			without := slices.Clone(rest)
			without[i] = true
			if plainSettle(w, without); !rest[i] && slices.Contains(without, false) {
				rest = without
			}
		}
		var left []int
		for i, is := range rest {
			if !is {
				left, done[i] = append(left, i), true
			}
		}
		if c := w.circle(left); c != nil {
			circles = append(circles, c)
		}
	}
	return circles
}

// TestCirclesOfMany: in larger pools than those that can be tried in every order the result is
// that of a plain search.
func TestCirclesOfMany(t *testing.T) {
	found := 0
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		pools := crowd(1+rnd.IntN(6), 10+rnd.IntN(40), func(n, pools int) int {
			if rnd.IntN(3) == 0 {
				return -1
			}
			return rnd.IntN(pools)
		})
		for i := range pools {
			*pools[i].Own.Limit = 1 + rnd.IntN(2)
		}
		got := Circles(pools, nil)
		if want := text(plainCircles(newWorld(pools, nil))); text(got) != want {
			t.Errorf("seed %d: %q, and by a plain search %q", seed, text(got), want)
		}
		found += len(got)
	}
	if found < 20 {
		t.Errorf("only %d circles: too few to compare", found)
	}
}

// crowd is pools with a holder each and waiters of which the nth is a part of the holder in
// pool inside(n); -1: of none.
func crowd(pools, waiters int, inside func(n, pools int) int) (all []Pool) {
	holder := func(i int) string { return fmt.Sprintf("p%d/h", i) }
	for i := range pools {
		limit := 1
		l := &Lease{Request: Request{ID: holder(i), Weight: 1}, State: Running, Slots: []int{0}, Since: time.Unix(int64(i), 0)}
		all = append(all, Pool{Name: fmt.Sprint("p", i), Own: Settings{Limit: &limit}, Holders: []Entry{{Lease: l}}})
	}
	for n := range waiters {
		r := Request{ID: fmt.Sprintf("p%d/w%d", n%pools, n), Weight: 1}
		if i := inside(n, pools); i >= 0 {
			r.Inside = []string{holder(i)}
		}
		all[n%pools].Waiters = append(all[n%pools].Waiters, Entry{Ticket: &Ticket{Request: r}})
	}
	return all
}

// BenchmarkCircles: 800 waiters in one line, in ten lines with a circle, and all inside one job.
func BenchmarkCircles(b *testing.B) {
	for _, c := range []struct {
		name   string
		pools  int
		inside func(n, pools int) int
	}{
		{"one", 2, func(n, pools int) int { return min(n, 1) - 1 }},
		{"circle", 10, func(n, pools int) int { return (n + 1) % pools }},
		{"inside", 1, func(int, int) int { return 0 }},
	} {
		pools := crowd(c.pools, 800, c.inside)
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				Circles(pools, nil)
			}
		})
	}
}
