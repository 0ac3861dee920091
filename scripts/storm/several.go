//go:build linux

package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// sharedPools are taken together by one run, in both orders. Such a run has no -n, so
// each of these pools has a limit of its own all the time.
var sharedPools = []Pool{
	{name: "left", limits: []int{0}, own: []string{"0", "1", "3", "2"}, shared: true},
	{name: "right", limits: []int{0}, own: []string{"0", "1", "4", "3"}, shared: true},
}

// usual is the pool's own limit when nothing is to be in the way.
func (p Pool) usual() string {
	if p.shared {
		return p.own[len(p.own)-1]
	}
	return "none"
}

// greatest is the greatest limit that anything sets or asks for.
func (p Pool) greatest() int {
	most := slices.Max(p.limits)
	for _, own := range p.own {
		n, _ := strconv.Atoi(own)
		most = max(most, n)
	}
	return most
}

// Share is what a run takes of one more pool than the one that it typed first. Its job
// is not told its token and its slots there.
type Share struct {
	pool   string
	weight int
}

func (r *Run) in(pool string) bool { return r.weightIn(pool) > 0 }

// weightIn is how many slots of a pool it wants, 0: none.
func (r *Run) weightIn(pool string) int {
	if r.pool == pool {
		return r.weight
	}
	for _, s := range r.more {
		if s.pool == pool {
			return s.weight
		}
	}
	return 0
}

// several is a run that takes slots of two pools.
func (p *Planner) several() *Plan {
	first, second := sharedPools[0].name, sharedPools[1].name
	if p.chance(50) {
		first, second = second, first
	}
	r := &Run{id: strconv.Itoa(p.runs), pool: first, weight: p.weight(), onBusy: "fail"}
	r.more = []Share{{second, p.weight()}}
	job := &Job{Run: r.id, Weight: r.weight, For: p.between(0, 50*time.Millisecond)}
	args := []string{"run", "-q", "-p", fmt.Sprintf("%s:%d", first, r.weight), "-p", fmt.Sprintf("%s:%d", second, r.more[0].weight), "--label", "run=" + r.id}
	args = append(args, p.ofStore()...)
	args = append(args, p.waiting(r)...)
	args = append(args, p.named(r)...)
	args = append(args, p.running(r, job)...)
	return p.plan(r, job, args)
}

func (p *Planner) weight() int {
	if p.chance(25) {
		return 2
	}
	return 1
}

// plan is the run with its attack.
func (p *Planner) plan(r *Run, job *Job, args []string) *Plan {
	attack := p.attack()
	p.outlast(job, attack)
	plan, _ := json.Marshal(job)
	return &Plan{run: r, args: append(args, "--", "JOB", "job", "RECORDS", string(plan)), attack: attack}
}

// shares are the grants of the pools that runs took besides their first ones, by pool.
// They have no token, so it is not known in which order they were granted.
func (l *Log) shares(seen map[sight]int64) map[string][]*Grant {
	all := map[string][]*Grant{}
	for _, r := range l.runs {
		s := r.granted()
		if s == nil || s.Token == 0 {
			continue
		}
		for _, m := range r.more {
			all[m.pool] = append(all[m.pool], &Grant{
				run: r, weight: m.weight, from: s.At, until: l.aliveUntil(r), after: max(r.launch, seen[sight{r.id, m.pool}]),
			})
		}
	}
	return all
}

// mostAllowed is the greatest own limit of a pool that may have been in force at some
// time between two instants, nil: there may have been none.
func (l *Log) mostAllowed(pool string, from, to int64) *int {
	may := []*int{nil}
	for _, s := range l.limits {
		switch {
		case s.pool != pool || s.from > to:
		case s.to <= from:
			may = []*int{s.limit}
		default:
			may = append(may, s.limit)
		}
	}
	if slices.Contains(may, nil) {
		return nil
	}
	return slices.MaxFunc(may, func(a, b *int) int { return cmp.Compare(*a, *b) })
}

// within: those that hold slots at one instant were all in use when the last of them was
// granted its own, which was after each of them was certainly not granted yet. So they are
// no more than some limit allows that may have been in force since.
func (v *Verdict) within(l *Log, pool string, alive map[*Grant]bool, at int64) {
	var after int64
	used := 0
	for g := range alive {
		after = max(after, g.after)
		used += g.weight
	}
	if most := l.mostAllowed(pool, after, at); most != nil && used > *most {
		v.badf("limit", "pool %s: %d slots in use at %d, and 'berth limit' said at most %d since %d; held by %s",
			pool, used, at, *most, after, describe(alive))
	}
}

var saysUnlimited = regexp.MustCompile(`has no limit of its own`)

// unlimited: it takes several pools, and one of them may have had no limit of its own.
func (l *Log) unlimited(r *Run) bool {
	return len(r.more) > 0 && saysUnlimited.MatchString(r.said) && slices.ContainsFunc(l.limits, func(s Limit) bool {
		return r.in(s.pool) && s.limit == nil && s.from <= r.ended
	})
}
