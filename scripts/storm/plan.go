//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// Pool is a pool and the numbers that are asked of it. A limit of 0 is a
// run without -n, which leaves it to the pool.
type Pool struct {
	name   string
	limits []int
	own    []string // for 'berth limit'
	shared bool     // with others, by runs without -n
}

var allPools = []Pool{
	{name: "one", limits: []int{1}, own: []string{"none", "0", "1"}},
	{name: "few", limits: []int{2, 3}, own: []string{"none", "0", "1", "2"}},
	{name: "many", limits: []int{4, 6, 8}, own: []string{"none", "0", "2", "5"}},
	{name: "mixed", limits: []int{0, 0, 1, 2, 3, 5, 5}, own: []string{"none", "0", "2", "3", "4"}},
}

// longPool is of the long jobs on a server.
var longPool = Pool{name: "long", limits: []int{2}, own: []string{"none", "1", "2"}}

// mostAsked is more than any pool is ever asked for.
const mostAsked = 8

// Plan is one run before it is launched. The same seed gives the same
// plans in the same order; what becomes of them is up to the scheduler.
type Plan struct {
	run    *Run
	args   []string
	attack *Attack
}

// Attack is a signal to the berth or the job of a run, some time after
// the launch or after the start of the job. A STOP is followed by a CONT.
type Attack struct {
	after, gap time.Duration
	started    bool // counted from the start of the job
	berth      bool
	who        string // around a kept slot
	sig        syscall.Signal
}

type Planner struct {
	*rand.Rand
	runs   int
	server *Server // nil: the store is a directory
}

func (p *Planner) chance(percent int) bool { return p.IntN(100) < percent }

func (p *Planner) between(low, high time.Duration) time.Duration {
	return low + time.Duration(p.Int64N(int64(high-low)))
}

func pick[T any](p *Planner, of []T) T { return of[p.IntN(len(of))] }

func (p *Planner) next() *Plan {
	p.runs++
	switch n := p.IntN(100); {
	case n < 14:
		return p.several()
	case n < 30:
		return p.yielding()
	case n < 45:
		return p.keeping()
	}
	pool := pick(p, allPools)
	r := &Run{id: strconv.Itoa(p.runs), pool: pool.name, limit: pick(p, pool.limits), weight: 1, onBusy: "fail"}
	if r.limit > 1 && p.chance(25) {
		r.weight = 1 + p.IntN(min(r.limit, 3))
	}
	if p.chance(30) {
		r.priority = pick(p, []int{-10, -5, 5, 10})
	}
	job := &Job{Run: r.id, Weight: r.weight, Limit: r.limit, For: p.between(0, 50*time.Millisecond)}
	if p.chance(15) {
		job.For = p.between(50*time.Millisecond, 200*time.Millisecond)
	}
	if p.chance(30) {
		job.Code = pick(p, []int{7, 42})
	}
	args := []string{"run", "-q", "-p", pool.name, "--weight", strconv.Itoa(r.weight), "--priority", strconv.Itoa(r.priority), "--label", "run=" + r.id}
	if r.limit > 0 {
		args = append(args, "-n", strconv.Itoa(r.limit))
	}
	args = append(args, p.ofStore()...)
	args = append(args, p.waiting(r)...)
	args = append(args, p.named(r)...)
	args = append(args, p.running(r, job)...)
	r.code = job.Code
	return p.plan(r, job, args)
}

// outlast has the job last until the end of its berth can end it, or it may end by itself before.
func (p *Planner) outlast(job *Job, attack *Attack) {
	if p.server != nil && attack != nil && attack.started && attack.berth && attack.sig == syscall.SIGKILL {
		job.For += 2 * timerLate
	}
}

// ofStore is what every run of a server is given besides.
func (p *Planner) ofStore() []string {
	if p.server != nil {
		return []string{"--ttl", p.server.ttl.String()}
	}
	return nil
}

// long is a run whose job writes several heartbeats, and that is not disturbed.
// On Redis every other one has a lease and heartbeats much longer than usual, and
// outlasts the time in which no new job starts: such a lease would block its slot for
// minutes if it were killed. The others ask for their turn more often.
func (p *Planner) long(kind string) *Plan {
	p.runs++
	r := &Run{id: fmt.Sprintf("long%d", p.runs), pool: longPool.name, limit: longPool.limits[0], weight: 1, onBusy: "fail"}
	job := &Job{Run: r.id, Weight: 1, Limit: r.limit, For: p.between(6*time.Second, 15*time.Second), Beat: 200 * time.Millisecond}
	args := p.ofStore()
	if kind == "redis" && p.runs%2 == 1 {
		r.ttl, job.For = 120*time.Second, p.between(36*time.Second, 55*time.Second)
		args = []string{"--ttl", r.ttl.String(), "--heartbeat", "40s"}
	}
	plan, _ := json.Marshal(job)
	args = slices.Concat([]string{"run", "-q", "-p", r.pool, "-n", strconv.Itoa(r.limit), "--label", "run=" + r.id}, args)
	return &Plan{run: r, args: append(args, "--", "JOB", "job", "RECORDS", string(plan))}
}

// waiting picks how the run stands in the line.
func (p *Planner) waiting(r *Run) (args []string) {
	wait := time.Duration(-1)
	if p.chance(15) { // gates that are open, so that they are asked between two decisions
		args = append(args, "--min-mem", "1M", "--ramp", pick(p, []string{"0", "2ms"}))
	}
	switch n := p.IntN(100); {
	case n < 10:
		wait = 0
	case n < 30:
		wait = p.between(20*time.Millisecond, 400*time.Millisecond)
	}
	if len(r.more) == 0 && p.chance(10) { // of several pools no place is kept
		r.key = fmt.Sprintf("%s-%d", r.pool, p.IntN(5))
		args = append(args, "--ticket", r.key, "--ticket-grace", pick(p, []string{"200ms", "1s"}))
		if p.chance(50) {
			wait = p.between(20*time.Millisecond, 100*time.Millisecond)
		}
	}
	if wait < 0 {
		return args
	}
	r.waits = true
	if p.chance(20) {
		r.onBusy = pick(p, []string{"skip", "run"})
	}
	return append(args, "--wait", wait.String(), "--on-busy", r.onBusy)
}

// running picks what kind of job it is.
func (p *Planner) running(r *Run, job *Job) (args []string) {
	job.Closed = p.chance(10)
	switch n := p.IntN(100); {
	case n < 8 && p.server != nil: // with --exec no berth is left to renew the lease
	case n < 8:
		r.exec = true
		job.Closed = p.chance(50)
		return []string{"--exec"}
	case n < 16: // a job that closes the slot's descriptor cannot leave it to another process
		job.Closed = false
		job.Daemon = p.between(50*time.Millisecond, 500*time.Millisecond)
	case n < 24:
		job.Inner = p.inner(r)
	}
	if p.chance(15) {
		r.tree = true
		args = append(args, "--hold", "tree")
	}
	if p.chance(15) {
		r.timeout = true
		args = append(args, "--timeout", p.between(10*time.Millisecond, 150*time.Millisecond).String(), "--kill-after", "100ms")
		if job.Inner == nil && job.Daemon == 0 {
			job.Deaf = p.chance(50)
			r.deaf = job.Deaf
		}
		if p.chance(30) {
			job.For += 150 * time.Millisecond
		}
	}
	return args
}

// inner is a run inside the run: in its slot, in another one, or in another
// pool. It waits for ever only for its own slot: two jobs that wait for each
// other's pools would do so for ever, too.
func (p *Planner) inner(outer *Run) []string {
	job := &Job{Run: innerRun(outer.id), Weight: 1, Limit: outer.limit, For: p.between(0, 20*time.Millisecond)}
	pool, how := outer.pool, []string{"--nested", "reuse"}
	if p.chance(50) {
		how = []string{"--nested", "take", "--wait", "200ms"}
		o := pick(p, allPools)
		pool, job.Limit = o.name, pick(p, o.limits)
		outer.takes, outer.takesLimit = pool == outer.pool, job.Limit
	}
	args := append([]string{"run", "-q", "-p", pool, "--label", "run=" + job.Run}, how...)
	args = append(args, p.ofStore()...)
	if job.Limit > 0 {
		args = append(args, "-n", strconv.Itoa(job.Limit))
	}
	plan, _ := json.Marshal(job)
	return append(args, "--", "JOB", "job", "RECORDS", string(plan))
}

func (p *Planner) attack() *Attack {
	if !p.chance(30) {
		return nil
	}
	a := &Attack{after: p.between(0, 150*time.Millisecond), gap: p.between(5*time.Millisecond, 250*time.Millisecond)}
	switch n := p.IntN(100); {
	case n < 50:
		a.started, a.after = true, p.between(0, 40*time.Millisecond)
	case n < 65:
		a.after = p.between(0, time.Second)
	}
	if p.chance(2) && p.server == nil { // which cannot tell a frozen berth from one that is gone
		a.gap = 3 * time.Second // longer than berth waits for a frozen pool without a word
	}
	a.berth = !a.started || p.chance(60)
	a.sig = pick(p, []syscall.Signal{syscall.SIGKILL, syscall.SIGKILL, syscall.SIGTERM, syscall.SIGSTOP})
	if p.server != nil && a.berth && a.sig == syscall.SIGKILL && p.chance(75) {
		// Each keeps its slot, or the line, for as long as its lease lasts: with many,
		// little else would happen.
		a.sig = pick(p, []syscall.Signal{syscall.SIGTERM, syscall.SIGSTOP})
	}
	return a
}
