//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// strategy is a way to decide how many jobs run at once.
type strategy struct {
	name  string
	berth bool     // else GNU parallel
	flags []string // of its command
	told  bool     // --memfree of what the machine has left when memfree is left of the group's limit
	once  bool     // not in every round: it takes longest and varies least
}

// A job as large as ours, and a little, is to fit.
const memfree = 500 << 20

func strategies() []strategy {
	cpus := fmt.Sprint(runtime.NumCPU())
	most := fmt.Sprint(4 * runtime.NumCPU())
	return []strategy{
		{name: "`-n 1`", berth: true, flags: []string{"-n", "1"}, once: true},
		{name: "`-n " + cpus + "`, the CPUs", berth: true, flags: []string{"-n", cpus}},
		{name: "`-n " + most + "`, 4 x CPUs", berth: true, flags: []string{"-n", most}},
		{name: auto, berth: true, flags: []string{"-n", "auto"}},
		{name: auto + " `--ramp " + brisk + "`", berth: true, flags: []string{"-n", "auto", "--ramp", brisk}},
		{name: "GNU parallel `-j " + most + " --load 90%`", flags: []string{"-j", most, "--load", "90%"}},
		{name: "GNU parallel `-j " + most + " --memfree 500M`", flags: []string{"-j", most, "--memfree", fmt.Sprint(memfree)}},
		{name: "the same, told what the machine has free when 500M of the limit are", flags: []string{"-j", most}, told: true},
	}
}

const (
	auto  = "`-n auto`"
	brisk = "300ms" // quicker than an eater grows: what the default ramp is for
)

// workload is one kind of job, run by each strategy.
type workload struct {
	title  string
	word   string
	jobs   int
	limit  time.Duration // for one run
	group  bool          // in a control group with a limit
	runs   map[string][]outcome
	quiet  []float64 // CPU pressure before each run
	killed int       // by the kernel, in all runs
}

// outcome is one run of all jobs by one strategy.
type outcome struct {
	took     time.Duration
	memory   float64 // bytes
	pressure float64 // percent; negative: unknown
	most     int
	lost     int
	late     bool
	settled  settled
}

// load runs CPU burners and memory eaters under strategies that know more and
// less of the machine.
func (b *bench) load() error {
	if err := b.gatedWaiters(); err != nil {
		return err
	}
	return b.loads(b.burning(), b.eating())
}

func (b *bench) burners() error { return b.loads(b.burning()) }
func (b *bench) eaters() error  { return b.loads(b.eating()) }

func (b *bench) burning() *workload {
	jobs := 12 * runtime.NumCPU()
	if b.size == quick {
		jobs = 4 * runtime.NumCPU()
	}
	return &workload{
		title: fmt.Sprintf("%d jobs of %v of CPU and %d MB each", jobs, burnCPU, burnMemory>>20),
		word:  burnWord, jobs: jobs, limit: 2 * time.Duration(jobs) * burnCPU, runs: map[string][]outcome{},
	}
}

func (b *bench) eating() *workload {
	jobs := 16
	if b.size == quick {
		jobs = 8
	}
	return &workload{
		title: fmt.Sprintf("%d jobs of %d MB each, reached after %v and kept for %v, in a control group with a limit of %d MB", jobs, eatMemory>>20, eatGrows, eatHolds, groupLimit>>20),
		word:  eatWord, jobs: jobs, limit: 2 * time.Duration(jobs) * (eatGrows + eatHolds), group: true, runs: map[string][]outcome{},
	}
}

// loads runs them in rounds of alternating order, so that what others do on the
// machine falls on all alike.
func (b *bench) loads(all ...*workload) error {
	rounds := 3
	if b.size == quick {
		rounds = 1
	}
	b.notef("--load and --memfree of GNU parallel count what is on the whole machine, and not in a control group")
	// What was measured before an interruption is worth printing.
	defer func() {
		for _, w := range all {
			w.print(os.Stdout)
		}
	}()
	for i := range rounds {
		for _, w := range all {
			err := b.round(w, i)
			if errors.Is(err, errNoGroup) {
				// Without a limit the jobs would take what others on the machine need.
				b.notef("no table of memory: %v", err)
				continue
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) round(w *workload, i int) error {
	all := strategies()
	if i%2 == 1 {
		slices.Reverse(all)
	}
	for _, s := range all {
		if s.once && i > 0 || s.told && !w.group {
			continue
		}
		with := b.berthTool
		if !s.berth {
			with = b.parallelTool
			if s.told {
				s.flags = append(s.flags, "--memfree", fmt.Sprint(parallelSees()-groupLimit+memfree))
			}
		}
		t, err := with(s.flags...)
		if errors.Is(err, errMissing) {
			continue
		}
		if err != nil {
			return err
		}
		quiet, err := b.pressureOver(func() error { return b.sleep(2 * time.Second) })
		if err != nil {
			return err
		}
		o, err := b.runLoad(w, t, s.berth)
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "bench: %s: %s: %s\n", w.word, s.name, o)
		w.runs[s.name] = append(w.runs[s.name], o)
		w.quiet = append(w.quiet, quiet)
	}
	return nil
}

// parallelTool is one GNU parallel for all jobs. Its first call in a new home
// measures the machine, as a user's does.
func (b *bench) parallelTool(flags ...string) (tool, error) {
	t, err := b.peer("parallel", func(path, dir string) tool {
		return tool{
			name:  "parallel",
			words: slices.Concat([]string{path, "--will-cite"}, flags),
			env:   []string{"HOME=" + dir, "PARALLEL_HOME=" + dir, "TMPDIR=" + dir},
		}
	})
	if err == nil && len(t) == 0 {
		err = errMissing
	}
	return append(t, tool{})[0], err
}

// runLoad runs all jobs: as many berths at once as there are jobs, or one GNU
// parallel. How each of those ends says nothing that the roll does not know.
func (b *bench) runLoad(w *workload, t tool, each bool) (o outcome, err error) {
	var g *group
	if w.group {
		if g, err = newGroup(fmt.Sprintf("berth-bench-%d", os.Getpid())); err != nil {
			return o, err
		}
		defer func() { err = errors.Join(err, b.endAll(), g.remove()) }()
		t.words = slices.Concat([]string{b.self(), enterWord, g.dir}, t.words)
	}
	dir, err := b.fresh("roll")
	if err != nil {
		return o, err
	}
	r, err := newRoll(filepath.Join(dir, "socket"))
	if err != nil {
		return o, err
	}
	late := time.AfterFunc(w.limit, func() { b.signalAll(syscall.SIGKILL) })
	memory := watchMemory()
	var took time.Duration
	o.pressure, err = b.pressureOver(func() error {
		err := b.callers(t, each, w.jobs, []string{b.self(), w.word, r.socket})
		took = time.Since(r.began)
		return err
	})
	o.memory = memory()
	o.late = !late.Stop()
	err = errors.Join(err, b.endAll(), b.ctx.Err())
	r.close()
	o.took, o.most, o.lost, o.settled = took, r.most(), w.jobs-r.done, r.settle()
	if g != nil && err == nil {
		var killed int
		if killed, err = g.killed(); err == nil {
			w.killed += killed
			o.memory, err = g.most()
		}
	}
	return o, err
}

func (b *bench) self() string { return filepath.Join(b.dir, "benchmark") }

// callers starts them and returns when the last one has ended.
func (b *bench) callers(t tool, each bool, jobs int, job []string) error {
	words, callers := job, jobs
	if !each {
		callers, words = 1, append(slices.Clone(job), ":::")
		for i := range jobs {
			words = append(words, fmt.Sprint(i+1))
		}
	}
	var pids []int
	for range callers {
		pid, err := b.spawn(t, words...)
		if err != nil {
			return err
		}
		pids = append(pids, pid)
	}
	for _, pid := range pids {
		// First without collecting: see time.
		for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
		}
		if _, err := b.collect(pid); err != nil {
			return err
		}
	}
	return nil
}

// watchMemory samples until the returned function is called, which returns the
// greatest sum. Looking is not free: more often would show in the figures.
func watchMemory() func() float64 {
	stop, most := make(chan struct{}), make(chan float64)
	go func() {
		top := 0.0
		for {
			select {
			case <-stop:
				most <- top
				return
			case <-time.After(200 * time.Millisecond):
				top = max(top, memoryBelow())
			}
		}
	}()
	return func() float64 { close(stop); return <-most }
}

// pressureOver is the share of the time of do, in percent, in which some task
// waited for a CPU. Negative: this kernel does not say.
func (b *bench) pressureOver(do func() error) (float64, error) {
	before, ok := pressure()
	began := time.Now()
	err := do()
	after, still := pressure()
	if !ok || !still {
		return -1, err
	}
	return 100 * float64(after-before) / float64(time.Since(began)), err
}

// gatedWaiters measures what a line costs whose first asks a gate that is never
// open, while nothing else happens.
func (b *bench) gatedWaiters() error {
	const waiters = 200
	watched := 30 * time.Second
	flags := []string{"-n", "4", "--max-cpu", "0.001%", "--min-mem", "99.9%", "--max-pressure", "cpu=0.001"}
	t, err := b.berthTool(flags...)
	if err != nil {
		return err
	}
	var pids []int
	for range waiters {
		pid, err := b.spawn(t, nothing)
		if err != nil {
			return err
		}
		pids = append(pids, pid)
	}
	if err := b.until(fmt.Sprintf("%d waiters at the gate", waiters), 500*time.Millisecond, time.Minute, func() (bool, error) {
		n, err := b.standing(t)
		return n == waiters, err
	}); err != nil {
		return err
	}
	// The last to arrive has read the pool for a while by then.
	if err := b.sleep(5 * time.Second); err != nil {
		return err
	}
	// One by one, to tell the one that asks from those that only stand in line.
	before := make([]time.Duration, len(pids))
	for i, pid := range pids {
		if before[i], err = cpu([]int{pid}); err != nil {
			return err
		}
	}
	began := time.Now()
	if err := b.sleep(watched); err != nil {
		return err
	}
	var all, greatest time.Duration
	for i, pid := range pids {
		after, err := cpu([]int{pid})
		if err != nil {
			return err
		}
		all, greatest = all+after-before[i], max(greatest, after-before[i])
	}
	took := time.Since(began)
	share := 100 * float64(all) / float64(took)
	b.notef("of the CPU of waiters at closed gates, the one that used most had %.2f%%", 100*float64(greatest)/float64(took))
	b.rows = append(b.rows, row{
		fmt.Sprintf("CPU of %d waiters at closed gates (`%s`), %v", waiters, strings.Join(flags[2:], " "), watched),
		fmt.Sprintf("%.2f%% of one CPU", share), "", "", "at most 1%", yes(share <= 1),
	})
	return b.endAll()
}
