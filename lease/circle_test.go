package lease

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// scene builds pools line by line. A line is "POOL LIMIT" or "JOB holds|waits POOL [WORD...]",
// of which the words are in=JOB,JOB (it is a part of those), with=JOB (one job with that one,
// named first), weight=K, n=N, aside, tied=PID, below=PID, kept. The id of a request is
// POOL/JOB, and what comes later is younger and further back in the line.
func scene(t *testing.T, lines string) []Pool {
	var pools []*Pool
	ids := map[string][]string{}
	pool := func(name string) *Pool {
		for _, p := range pools {
			if p.Name == name {
				return p
			}
		}
		t.Fatalf("there is no pool %s", name)
		return nil
	}
	for n, line := range strings.Split(strings.TrimSpace(lines), "\n") {
		f := strings.Fields(line)
		if len(f) == 2 {
			limit := 0
			fmt.Sscan(f[1], &limit)
			pools = append(pools, &Pool{Name: f[0], Own: Settings{Limit: &limit}})
			continue
		}
		p := pool(f[2])
		r := Request{ID: f[2] + "/" + f[0], Pool: f[2], Weight: 1, Owner: Process{PID: 1000 + n}}
		aside := false
		for _, word := range f[3:] {
			switch key, value, _ := strings.Cut(word, "="); key {
			case "in":
				for _, j := range strings.Split(value, ",") {
					r.Inside = append(r.Inside, ids[j]...)
				}
			case "with":
				r.Together = []string{ids[value][0], r.ID}
			case "together": // for the first one, whose others come later
				r.Together = append([]string{r.ID}, strings.Split(value, ",")...)
			case "weight":
				fmt.Sscan(value, &r.Weight)
			case "n":
				fmt.Sscan(value, &r.Limit)
			case "tied":
				r.Tied = &Process{}
				fmt.Sscan(value, &r.Tied.PID)
			case "below":
				fmt.Sscan(value, &r.Owner.PID)
			case "kept":
				r.Kept = true
			case "aside":
				aside = true
			default:
				t.Fatalf("unknown word %q", word)
			}
		}
		ids[f[0]] = append(ids[f[0]], r.ID)
		since := time.Unix(int64(n), 0)
		if f[1] == "waits" {
			p.Waiters = append(p.Waiters, Entry{Ticket: &Ticket{Request: r, Since: since}, Aside: aside})
			continue
		}
		l := &Lease{Request: r, Since: since, RequestedLimit: r.Limit, State: Running}
		for range r.Weight {
			l.Slots = append(l.Slots, p.Used)
			p.Used++
		}
		p.Holders = append(p.Holders, Entry{Lease: l})
	}
	var all []Pool
	for _, p := range pools {
		all = append(all, *p)
	}
	return all
}

// text are the circles: in each the waiters with what they hold, and whom to stop.
func text(circles []Circle) string {
	var all []string
	for _, c := range circles {
		var members []string
		for _, w := range c {
			var holds []string
			for _, l := range w.Holds {
				holds = append(holds, l.ID)
			}
			members = append(members, w.Waiter.ID+"("+strings.Join(holds, " ")+")")
		}
		all = append(all, strings.Join(members, ", ")+": stop "+c.Victim())
	}
	return strings.Join(all, "; ")
}

func TestCircles(t *testing.T) {
	for _, c := range []struct{ name, scene, want string }{
		{"nothing", "a 1", ""},
		{"a line without relations", "a 1\nx holds a\ny waits a\nz waits a", ""},
		{"one waits below another, which ends", "a 1\nb 1\nx holds a\nx2 waits b in=x\ny holds b", ""},
		{
			"two jobs wait for each other's pool",
			"a 1\nb 1\nx holds a\ny holds b\nx2 waits b in=x\ny2 waits a in=y",
			"a/y2(b/y), b/x2(a/x): stop b/y",
		},
		{
			"three in a round", "a 1\nb 1\nc 1\nx holds a\ny holds b\nz holds c\nx2 waits b in=x\ny2 waits c in=y\nz2 waits a in=z",
			"a/z2(c/z), b/x2(a/x), c/y2(b/y): stop c/z",
		},
		{"a job waits for its own slot", "a 1\nx holds a\nx2 waits a in=x", "a/x2(a/x): stop a/x"},
		{"its pool has one more slot, which another one holds", "a 2\nx holds a\ny holds a\nx2 waits a in=x", ""},
		{
			"both slots are in the circle",
			"a 2\nb 1\nx holds a\nv holds a\ny holds b\nx2 waits b in=x\nv2 waits b in=v\ny2 waits a in=y",
			"a/y2(b/y), b/x2(a/x), b/v2(a/v): stop b/y",
		},
		{"one of the two slots may become free", "a 2\nb 1\nx holds a\nv holds a\ny holds b\nx2 waits b in=x\ny2 waits a in=y", ""},
		{
			"one of the two slots is too few", "a 2\nb 1\nx holds a\nv holds a\ny holds b\nx2 waits b in=x\ny2 waits a in=y weight=2",
			"a/y2(b/y), b/x2(a/x): stop b/y",
		},
		{
			"through jobs inside jobs", "a 1\nb 1\nc 1\nx holds a\nx2 holds c in=x\nx3 waits b in=x,x2\ny holds b\ny2 waits a in=y",
			"a/y2(b/y), b/x3(a/x): stop b/y",
		},
		{
			"a half-way job of two pools, and one in its second", "a 1\nb 1\nx holds a together=b/x\nx waits b with=x\ny holds b\ny2 waits a in=y",
			"b/x(a/x), a/y2(b/y): stop b/y",
		},
		{"two half-way jobs take their pools in one order", "a 1\nb 1\nx holds a together=b/x\nx waits b with=x\ny holds b\nz waits a together=b/z", ""},
		{
			"a heavy waiter stands before a part of the job that it waits for", "a 2\nx holds a\nh waits a weight=2\nx2 waits a in=x",
			"a/h(), a/x2(a/x): stop a/h",
		},
		{"the same, and it has stepped aside", "a 2\nx holds a\nh waits a weight=2 aside\nx2 waits a in=x", ""},
		{"a stopped waiter is in no circle", "a 1\nb 1\nx holds a\ny holds b\nx2 waits b in=x aside\ny2 waits a in=y", ""},
		{"a drained pool is no circle", "a 1\nb 0\nx holds a\nx2 waits b in=x\ny waits a", ""},
		{"a drained pool in what would be one", "a 1\nb 0\nx holds a\ny holds b\nx2 waits b in=x\ny2 waits a in=y", ""},
		{
			"whose limit holds it back is in the circle", "a 9\nb 1\nx holds a n=1\ny holds b\nx2 waits b in=x\ny2 waits a in=y",
			"a/y2(b/y), b/x2(a/x): stop b/y",
		},
		{"whose limit holds it back is not", "a 9\nb 1\nx holds a\nv holds a n=2\ny holds b\nx2 waits b in=x\ny2 waits a in=y", ""},
		{
			"kept for one process, taken in different orders",
			"a 1\nb 1\nx holds a tied=1 kept\ny holds b tied=2 kept\nx2 waits b tied=1 kept\ny2 waits a tied=2 kept",
			"a/y2(b/y), b/x2(a/x): stop b/y",
		},
		{"kept for one process", "a 1\nb 1\nx holds a tied=1 kept\nx2 holds b tied=1 kept\ny waits a", ""},
		{
			"a run below the process for which a lease is kept", "a 1\nb 1\nx holds a tied=1 kept\ny holds b\nx2 waits b below=1\ny2 waits a in=y",
			"a/y2(b/y), b/x2(a/x): stop b/y",
		},
		{
			"two circles, and one that waits behind both", "a 1\nb 1\nc 1\nx holds a\nx2 waits a in=x\ny holds b\ny2 waits b in=y\nz holds c\nz2 waits a in=z\nz3 waits b in=z\nu waits c",
			"a/x2(a/x): stop a/x; b/y2(b/y): stop b/y",
		},
		{
			"one waits in a circle, and for another one", "a 1\nb 1\nx holds a\nx2 waits a in=x\ny holds b\ny2 waits a in=y\ny3 waits b in=y",
			"a/x2(a/x): stop a/x; b/y3(b/y): stop b/y",
		},
		{"the first one of a line is named", "a 1\nx holds a\nx2 waits a in=x\nx3 waits a in=x", "a/x2(a/x): stop a/x"},
		{"two places of one job in a line", "a 2\nb 1\nx holds b\ny waits a with=x\nz waits a with=x\nv waits b in=x", ""},
		{"forged: each is a part of the other", "a 1\nb 1\nx holds a\ny holds b in=x\nx holds b in=y", ""},
	} {
		if got := text(Circles(scene(t, c.scene), nil)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestCirclesThroughProcesses: what the environment did not tell, processes do.
func TestCirclesThroughProcesses(t *testing.T) {
	pools := scene(t, "a 1\nb 1\nx holds a tied=1 kept\ny holds b\nx2 waits b below=7\ny2 waits a in=y")
	if got := Circles(pools, nil); got != nil {
		t.Errorf("without processes: %s", text(got))
	}
	got := text(Circles(pools, func(p Process) []Process {
		if p.PID != 7 {
			return nil
		}
		return []Process{{PID: 5}, {PID: 1}}
	}))
	if want := "a/y2(b/y), b/x2(a/x): stop b/y"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// anyScene makes up pools, some of whose jobs are parts of earlier ones.
func anyScene(rnd *rand.Rand) []Pool {
	pools := make([]Pool, 1+rnd.IntN(3))
	for i := range pools {
		limit := 1 + rnd.IntN(3)
		pools[i] = Pool{Name: string(rune('a' + i)), Own: Settings{Limit: &limit}}
	}
	var around []string
	for n := range 2 + rnd.IntN(6) {
		id := fmt.Sprintf("%c/%d", 'a'+n, n)
		inside := []string(nil)
		if len(around) > 0 && rnd.IntN(4) > 0 {
			inside = []string{around[rnd.IntN(len(around))]}
		}
		p := &pools[rnd.IntN(len(pools))]
		r := Request{ID: id, Inside: inside, Weight: 1 + rnd.IntN(8)/6}
		if rnd.IntN(5) == 0 {
			r.Limit = 1 + rnd.IntN(3)
		}
		most := *p.Own.Limit
		if rnd.IntN(2) == 0 && p.Used+r.Weight <= most {
			l := &Lease{Request: r, RequestedLimit: r.Limit, State: Running, Slots: make([]int, r.Weight)}
			p.Holders = append(p.Holders, Entry{Lease: l})
			p.Used += r.Weight
			around = append(around, id)
			if q := &pools[rnd.IntN(len(pools))]; q != p && rnd.IntN(3) == 0 { // it is half-way
				r.ID, r.Together, r.Inside = id+"2", []string{id, id + "2"}, nil
				l.Together = r.Together
				q.Waiters = append(q.Waiters, Entry{Ticket: &Ticket{Request: r}})
			}
			continue
		}
		p.Waiters = append(p.Waiters, Entry{Ticket: &Ticket{Request: r}, Aside: rnd.IntN(12) == 0})
	}
	for _, p := range pools {
		rnd.Shuffle(len(p.Waiters), func(i, j int) { p.Waiters[i], p.Waiters[j] = p.Waiters[j], p.Waiters[i] })
	}
	return pools
}

// canEver finds, by trying every order in which jobs start and end, those that can end at
// all if those that are gone at the beginning are.
func canEver(w *world, gone []bool) []bool {
	const waits, runs, over = 0, 1, 2
	begin := make([]int, len(w.jobs))
	for i, j := range w.jobs {
		switch {
		case gone[i]:
			begin[i] = over
		case len(j.waits) == 0:
			begin[i] = runs
		}
	}
	ever := make([]bool, len(w.jobs))
	seen := map[string]bool{}
	var try func(state []int)
	try = func(state []int) {
		if key := fmt.Sprint(state); seen[key] {
			return
		} else {
			seen[key] = true
		}
		step := func(i, to int) {
			next := slices.Clone(state)
			next[i] = to
			try(next)
		}
		for i := range w.jobs {
			ever[i] = ever[i] || state[i] == over
			switch state[i] {
			case waits:
				if startsIn(w, i, state) {
					step(i, runs)
				}
			case runs:
				if !slices.ContainsFunc(partsOf(w, i), func(k int) bool { return state[k] != over }) {
					step(i, over)
				}
			}
		}
	}
	try(begin)
	return ever
}

// startsIn says whether job i, which waits in one line, may start now.
func startsIn(w *world, i int, state []int) bool {
	x := w.jobs[i].waits[0]
	p := w.pools[x.pool]
	for _, a := range p.Waiters[:x.nth] {
		if k, known := w.of[a.Ticket.ID]; known && !a.Aside && state[k] == 0 {
			return false
		}
	}
	used, limit := 0, *p.Own.Limit
	count := func(weight, requested int) {
		used += weight
		if requested > 0 {
			limit = min(limit, requested)
		}
	}
	for _, h := range p.Holders {
		if state[w.of[h.Lease.ID]] != 2 {
			count(len(h.Lease.Slots), h.Lease.RequestedLimit)
		}
	}
	for _, a := range p.Waiters {
		if k, known := w.of[a.Ticket.ID]; known && !a.Aside && state[k] == 1 {
			count(a.Ticket.Weight, a.Ticket.Limit)
		}
	}
	t := x.ticket
	if t.Weight > *p.Own.Limit || t.Limit > 0 && t.Weight > t.Limit {
		return true // it ends with an error
	}
	count(t.Weight, t.Limit)
	return used <= limit
}

// FuzzCircles: each waiter that is left waits in every order of events, and each circle is one without
// the others, but not without any of its own.
func FuzzCircles(f *testing.F) {
	for seed := range uint64(300) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		pools := anyScene(rand.New(rand.NewPCG(seed, 1)))
		w := newWorld(pools, nil)
		ever := canEver(w, make([]bool, len(w.jobs)))
		p := newPlay(w)
		if p.settle(); !slices.Equal(p.done, ever) {
			t.Fatalf("%v can end, and by trying %v", p.done, ever)
		}
		circles := Circles(pools, nil)
		if got, want := text(circles), text(plainCircles(w)); got != want {
			t.Errorf("%q, and by a plain search %q", got, want)
		}
		if (len(circles) > 0) != slices.Contains(ever, false) {
			t.Errorf("%q, and by trying %v can end", text(circles), ever)
		}
		for _, c := range circles {
			checkCircle(t, w, c)
		}
	})
}

func checkCircle(t *testing.T, w *world, c Circle) {
	in := make([]bool, len(w.jobs))
	for _, x := range c {
		in[w.of[x.Waiter.ID]] = true
		for _, l := range x.Holds {
			in[w.of[l.ID]] = true
		}
	}
	gone := make([]bool, len(in))
	for i := range in {
		gone[i] = !in[i]
	}
	if got := canEver(w, gone); !slices.Equal(got, gone) {
		t.Errorf("%q alone: %v can end, not only %v", text([]Circle{c}), got, gone)
	}
	for i := range in {
		if in[i] {
			without := slices.Clone(gone)
			without[i] = true
			if slices.Contains(canEver(w, without), false) {
				t.Errorf("%q is one without job %d, too", text([]Circle{c}), i)
			}
		}
	}
	if !in[w.of[c.Victim()]] {
		t.Errorf("%q: it is not in it", text([]Circle{c}))
	}
}
