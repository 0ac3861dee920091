//go:build linux

package main

import (
	"cmp"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"berth/lease/storetest/engine"
	"berth/scripts/testbed"
)

// conduct is one storm, from its preparation to its report.
func conduct(t engine.T, o options) {
	seed := cmp.Or(o.seed, uint64(time.Now().UnixNano()))
	t.Logf("%v, --seed %d", o.lasts, seed)
	s := newStorm(t, seed)
	if o.kind != "" {
		s.onServer(o)
	}
	s.prepare(o)
	defer s.killAll()
	s.limitShared()
	s.rage(o.lasts)
	s.calm()
	v := checkStorm(&s.log)
	v.bad = append(v.bad, s.atEnd()...)
	s.report(v)
}

// mostAlive is how many berths are alive at once, those inside others not
// counted.
const mostAlive = 26

type storm struct {
	t          engine.T
	dir, store string
	direct     string           // the store for the storm itself; runs may be led through the proxy
	kind       string           // of the server, "": the store is a directory
	server     *engine.Server   // a Redis
	proxy      *Proxy           // before it
	cluster    []*engine.Server // an etcd
	faults     map[string]bool  // that happen, see faultsOf
	pools      []Pool
	records    string
	berth, job string // the programs
	env        []string
	mark       string // an environment variable that all processes of this storm have
	plans      *Planner
	seed       uint64

	started, ended sync.WaitGroup // attackers and the like; runs
	room           chan struct{}  // one for each end of a run
	over           chan struct{}  // closed when the storm is over
	settings       sync.Mutex     // held while a pool's own limit is set, or lost
	steady         sync.Mutex     // held while a member of the cluster is away

	mu    sync.Mutex // guards what follows
	log   Log
	runs  map[string]*Run
	alive map[string]*exec.Cmd
	read  int64 // of the records file
	kills map[string]int
	bad   []string
	stuck int // calls of 'berth stop' that waited in vain

	flushes    map[string]int
	hung       *engine.Server // nil: none
	hungLeader bool
}

func newStorm(t engine.T, seed uint64) *storm {
	dir := t.TempDir()
	s := &storm{
		t: t, dir: dir, store: filepath.Join(dir, "store"), records: filepath.Join(dir, "records"),
		plans: &Planner{Rand: rand.New(rand.NewPCG(seed, 0))}, seed: seed, room: make(chan struct{}, mostAlive),
		mark: "STORM_MARK=" + strconv.Itoa(os.Getpid()) + "." + strconv.FormatUint(seed, 36),
		runs: map[string]*Run{}, alive: map[string]*exec.Cmd{}, kills: map[string]int{}, flushes: map[string]int{},
		pools: slices.Concat(allPools, sharedPools, []Pool{yieldPool, keptPool}), over: make(chan struct{}),
	}
	_ = os.Mkdir(s.store, 0o700) // or berth says that it made it
	return s
}

// prepare builds the berth, unless there is one, and makes the environment.
func (s *storm) prepare(o options) {
	t, dir := s.t, s.dir
	var err error
	switch {
	case o.berth != "":
		s.berth, err = filepath.Abs(o.berth)
	case o.kind != "":
		s.berth, err = testbed.Build(dir, "berth/cmd/berth-remote")
	default:
		s.berth, err = testbed.Build(dir, "berth")
	}
	if err != nil {
		t.Fatalf("no berth: %v", err)
	}
	if s.job, err = os.Executable(); err != nil {
		t.Fatalf("%v", err)
	}
	s.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "BERTH_STORE=" + s.store, "STORM_BERTH=" + s.berth, s.mark,
		"GORACE=atexit_sleep_ms=0",
	}
	if err := os.WriteFile(s.records, nil, 0o600); err != nil {
		t.Fatalf("%v", err)
	}
}

// command is a berth of this storm, with the run it belongs to, "-" none.
func (s *storm) command(run string, args ...string) *exec.Cmd {
	c := exec.Command(s.berth, args...)
	c.Args[0] = "berth"
	c.Dir = s.dir
	c.Env = append(s.env[:len(s.env):len(s.env)], "STORM_RUN="+run)
	if run == "-" && s.direct != "" {
		c.Env = append(c.Env, "BERTH_STORE="+s.direct)
	}
	return c
}

func (s *storm) badf(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bad = append(s.bad, text)
}

// rage launches runs, while others list, limit, stop and look for the dead.
func (s *storm) rage(lasts time.Duration) {
	again, once := s.weathers(lasts)
	for i, work := range once {
		p := s.planner(200 + i)
		s.started.Go(func() { work(p) })
	}
	for i, work := range append([]func(*Planner){s.list, s.limit, s.stop, s.coroner}, again...) {
		p := s.planner(i + 1)
		s.started.Go(func() {
			for {
				select {
				case <-s.over:
					return
				default:
					work(p)
				}
			}
		})
	}
	moods := rand.New(rand.NewPCG(s.seed, 100))
	end, turn, most := time.Now().Add(lasts), time.Now(), mostAlive
	for time.Now().Before(end) {
		if time.Now().After(turn) {
			// A full pool is another world than one that is empty now and then.
			most, turn = 2+moods.IntN(mostAlive-1), time.Now().Add(400*time.Millisecond)
		}
		if s.living()-s.longs(nil) >= most {
			select {
			case <-s.room:
			case <-time.After(10 * time.Millisecond):
			}
			continue
		}
		s.launch(s.plans.next())
	}
	close(s.over)
	s.started.Wait()
	s.noMoreLongs()
}

// planner is for what acts beside the runs.
func (s *storm) planner(number int) *Planner {
	return &Planner{Rand: rand.New(rand.NewPCG(s.seed, uint64(number))), server: s.log.server}
}

func (s *storm) living() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.alive)
	for id := range s.alive {
		if s.runs[id].kept {
			n += keptAlive - 1
		}
	}
	return n
}

func (s *storm) launch(p *Plan) {
	r := p.run
	for i, a := range p.args {
		p.args[i] = strings.NewReplacer("RECORDS", s.records, "JOB", s.job).Replace(a)
	}
	c := s.command(r.id, p.args...)
	if r.kept {
		c.Path = s.job
	}
	said, err := os.Create(filepath.Join(s.dir, "said."+r.id))
	if err != nil {
		s.t.Fatalf("%v", err)
	}
	c.Stdout, c.Stderr = said, said
	s.mu.Lock()
	defer s.mu.Unlock()
	r.launch = testbed.Monotonic()
	if err := c.Start(); err != nil {
		s.t.Fatalf("%v", err)
	}
	said.Close()
	s.runs[r.id], s.alive[r.id] = r, c
	s.log.runs = append(s.log.runs, r)
	s.ended.Go(func() { s.await(r, c) })
	if p.attack != nil {
		s.started.Go(func() { s.attack(r, c, p.attack) })
	}
}

func (s *storm) await(r *Run, c *exec.Cmd) {
	_ = c.Wait()
	now := testbed.Monotonic()
	name := filepath.Join(s.dir, "said."+r.id)
	said, _ := os.ReadFile(name)
	_ = os.Remove(name)
	s.mu.Lock()
	r.ended, r.exit = now, testbed.ExitCode(c.ProcessState)
	r.said = strings.TrimSpace(string(said[:min(len(said), 2000)]))
	r.killed = c.ProcessState.Sys().(syscall.WaitStatus).Signaled()
	if !r.killed && !r.exec && !r.kept {
		r.gone = now // what its job left behind has no slot any more
	}
	delete(s.alive, r.id)
	s.mu.Unlock()
	select {
	case s.room <- struct{}{}:
	default:
	}
}

// attack sends a run its signal. Each is noted before it is sent, with a clock
// read even before that: so a job that was alive then is known to have had its
// slots until then, and whatever the signal explains came after it.
func (s *storm) attack(r *Run, c *exec.Cmd, a *Attack) {
	job := s.jobOf(r)
	for end := time.Now().Add(2 * time.Second); a.started && job == 0; job = s.jobOf(r) {
		if time.Now().After(end) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	time.Sleep(a.after)
	if a.who != "" && !a.berth {
		s.attackKept(r, a)
		return
	}
	who := " waiter"
	switch job = s.jobOf(r); {
	case !a.berth:
		who = " job"
	case r.kept:
		who = " tied"
	case job != 0:
		who = " holder"
	}
	send := func(sig syscall.Signal) bool {
		if a.berth {
			return c.Process.Signal(sig) == nil // os.Process knows when it was waited for
		}
		return s.signalMarked(job, r.id, sig)
	}
	s.strike(&r.signals, Signal{sig: a.sig, berth: a.berth}, who, send, a.gap)
}

// strike notes and sends a signal. A run has one attack.
func (s *storm) strike(of *[]Signal, g Signal, who string, send func(syscall.Signal) bool, gap time.Duration) {
	s.mu.Lock()
	g.at = testbed.Monotonic()
	*of = append(*of, g)
	noted := &(*of)[len(*of)-1]
	s.mu.Unlock()
	sent := send(g.sig)
	s.mu.Lock()
	noted.sent = sent
	if sent {
		s.kills[unix.SignalName(g.sig)[3:]+who]++
	}
	s.mu.Unlock()
	if g.sig == syscall.SIGSTOP && sent {
		time.Sleep(gap)
		send(syscall.SIGCONT)
	}
}

// jobOf is the pid of its job, 0 before that has said that it runs.
func (s *storm) jobOf(r *Run) int {
	s.readRecords()
	s.mu.Lock()
	defer s.mu.Unlock()
	if rec := r.granted(); rec != nil {
		return rec.PID
	}
	return 0
}

// readRecords hands out what the jobs have written since the last time.
func (s *storm) readRecords() {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := os.Open(s.records)
	if err != nil {
		s.t.Errorf("%v", err)
		return
	}
	defer f.Close()
	for {
		line := make([]byte, recordLen)
		if n, _ := f.ReadAt(line, s.read); n < len(line) {
			return
		}
		s.read += recordLen
		var rec Record
		if err := json.Unmarshal(line, &rec); err != nil {
			s.bad = append(s.bad, "harness: a record cannot be read: "+string(line))
			continue
		}
		s.file(rec)
	}
}

// file gives a record to its run. Runs inside others are first heard of so.
func (s *storm) file(rec Record) {
	r := s.runs[rec.Run]
	if r == nil {
		outer, _ := outerOf(rec.Run)
		r = &Run{id: rec.Run, parent: outer, weight: 1, pool: rec.Pool, launch: rec.At, onBusy: "fail", waits: true}
		s.runs[r.id] = r
		s.log.runs = append(s.log.runs, r)
	}
	if rec.What == "start" && r.parent != "" {
		r.pool, r.limit = rec.Pool, rec.Limit
	}
	r.records = append(r.records, rec)
}
