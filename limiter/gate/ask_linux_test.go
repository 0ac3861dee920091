package gate

import (
	"berth/lease"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func ask(t *testing.T, a *Asker, q Question) Answer {
	t.Helper()
	if a.Run == nil {
		a.Run = runShell
	}
	return a.Ask(t.Context(), q)
}

func gates(g Gates) Question { return Question{SinceStart: -1, Sets: []Set{{Gates: g}}} }

func TestAskEachGate(t *testing.T) {
	free, err := free("/")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		why          string
		open, closed Gates
	}{
		{"max-mem", Gates{MaxMem: 0.26}, Gates{MaxMem: 0.25}},
		{"min-mem", Gates{MinMem: Amount{Bytes: 11 << 30}}, Gates{MinMem: Amount{Bytes: 12 << 30}}},
		{"min-mem share", Gates{MinMem: Amount{Share: 0.7}}, Gates{MinMem: Amount{Share: 0.75}}},
		{"max-load", Gates{MaxLoad: 0.6}, Gates{MaxLoad: 0.5}},
		{"max-pressure", Gates{MaxPressure: []Pressure{{"io", false, 6}}}, Gates{MaxPressure: []Pressure{{"io", true, 20}, {"io", false, 5}}}},
		{"max-pressure full", Gates{MaxPressure: []Pressure{{"mem", true, 1.6}}}, Gates{MaxPressure: []Pressure{{"mem", true, 1.5}}}},
		{"min-disk", Gates{MinDisk: []Disk{{"/", 1}}}, Gates{MinDisk: []Disk{{"/", 1}, {"/", 2 * free}}}},
		{"gate", Gates{Command: "exit 0"}, Gates{Command: "exit 75"}},
	} {
		t.Run(c.why, func(t *testing.T) {
			f, clock := newTree(t), &fakeClock{}
			for _, side := range []struct {
				gates Gates
				open  bool
			}{{c.open, true}, {c.closed, false}} {
				a, q := clock.asker(), gates(side.gates)
				if err := a.Check(q); err != nil {
					t.Fatal(err)
				}
				f.cpu(0, 0)
				ans := ask(t, a, q)
				if ans.Measuring { // a command's environment has it
					f.cpu(100, 100)
					clock.now += time.Second
					ans = ask(t, a, q)
				}
				if ans.Open != side.open || (ans.Why() == "") != side.open {
					t.Errorf("open %v: %q %+v", ans.Open, ans.Why(), ans.Findings)
				}
				if name, _, _ := strings.Cut(c.why, " "); !side.open && !strings.HasPrefix(ans.Why(), name+": ") {
					t.Errorf("it is %q that is closed", ans.Why())
				}
				if again := ans.Again; side.open && again != 0 || !side.open && again != 500*ms {
					t.Errorf("asks again in %v", again)
				}
			}
		})
	}
}

// One caller's second sample is the next one's answer.
func TestAskSharesCPU(t *testing.T) {
	f, clock := newTree(t), &fakeClock{}
	q := gates(Gates{MaxCPU: 0.5})
	one, two, three := clock.asker(), clock.asker(), clock.asker()
	first := ask(t, one, q)
	if first.Open || !first.Measuring || first.Why() != "measuring CPU use" || first.Again != 500*ms || first.Share == nil {
		t.Fatalf("the first look: %+v", first)
	}
	f.cpu(100, 300)
	clock.now += 499 * ms
	q.Shared = first.Share
	if early := ask(t, two, q); early.Open || !early.Measuring || early.Again != ms || early.Share != nil {
		t.Errorf("too early: %+v", early)
	}
	clock.now += ms
	second := ask(t, two, q)
	if !second.Open || second.Measuring || *second.Findings[0].Value != 25 || second.Share == nil {
		t.Fatalf("a quarter: %+v", second)
	}
	f.cpu(9000, 300) // would be closed, but the pair is fresh
	clock.now += 100 * ms
	q.Shared = second.Share
	if third := ask(t, three, q); !third.Open || *third.Findings[0].Value != 25 || third.Share != nil {
		t.Errorf("the finished pair: %+v", third)
	}
	clock.now += 400 * ms
	if fourth := ask(t, three, q); fourth.Open || fourth.Measuring || !strings.HasPrefix(fourth.Why(), "max-cpu: 100% busy, not below 50% of 4 CPUs (host)") {
		t.Errorf("busy: %+v", fourth)
	}
}

func TestAskUnusableShare(t *testing.T) {
	f, clock := newTree(t), &fakeClock{}
	q := gates(Gates{MaxCPU: 0.5})
	q.Shared = ask(t, clock.asker(), q).Share
	f.cpu(100, 300)
	clock.now += time.Second
	if ans := ask(t, clock.asker(), q); !ans.Open {
		t.Fatalf("the share is of no use at all: %+v", ans)
	}
	for _, c := range []struct {
		why    string
		change func(q *Question)
	}{
		{"none", func(q *Question) { q.Shared = nil }},
		{"garbage", func(q *Question) { q.Shared = []byte("\x00{") }},
		{"stale", func(q *Question) { clock.now += 3 * time.Second }},
		{"before the last start", func(q *Question) { clock.now -= 3 * time.Second; q.SinceStart = 800 * ms }},
		{"another boot", func(q *Question) { f.put("proc/sys/kernel/random/boot_id", "b-boot") }},
	} {
		p := q
		c.change(&p)
		if ans := ask(t, clock.asker(), p); ans.Open || !ans.Measuring || ans.Again != 500*ms {
			t.Errorf("%s: %+v", c.why, ans)
		}
	}
	// The file is there for all, but not this machine.
	other := newTree(t)
	other.cpu(100, 300)
	if ans := ask(t, clock.asker(), q); ans.Open || !ans.Measuring {
		t.Errorf("another root: %+v", ans)
	}
}

func TestAskStandingCounters(t *testing.T) {
	newTree(t)
	clock := &fakeClock{}
	a, b := clock.asker(), clock.asker()
	for i := range 5 {
		ans := ask(t, a, gates(Gates{MaxCPU: 1}))
		if stands := strings.Contains(ans.Why(), "stand still"); ans.Open || ans.Measuring != (i == 0) || stands == (i == 0) {
			t.Fatalf("decides on nothing: %+v", ans)
		}
		// A command does without what cannot be had.
		if ans := ask(t, b, gates(Gates{Command: "test -z \"$BERTH_CPU_PERCENT\" || exit 75"})); ans.Open != (i > 0) {
			t.Fatalf("%d: %+v", i, ans)
		}
		clock.now += time.Second
	}
}

// A closed gate is told while CPU use is still being measured.
func TestWhyWhileMeasuring(t *testing.T) {
	newTree(t)
	ans := ask(t, &Asker{}, gates(Gates{MaxCPU: 0.5, MaxMem: 0.1, Command: "exit 0"}))
	if !ans.Measuring || !strings.HasPrefix(ans.Why(), "max-mem: ") {
		t.Errorf("%q, %+v", ans.Why(), ans)
	}
}

func TestAskLevels(t *testing.T) {
	f, clock := newTree(t), &fakeClock{}
	f.groups("0::/a/b\n", "a/cpu.max: 100000 100000", "a/cpu.stat: usage_usec 0")
	a, q := clock.asker(), gates(Gates{MaxCPU: 0.8})
	ask(t, a, q)
	f.cpu(100, 300)
	f.groups("0::/a/b\n", "a/cpu.stat: usage_usec 900000")
	clock.now += time.Second
	if ans := ask(t, a, q); ans.Open || ans.Findings[0].Of != "cgroup v2 /a" || *ans.Findings[0].Value != 90 || ans.Readings.CPUs != 1 {
		t.Errorf("the group is full: %+v", ans)
	}
	f.cpu(500, 300)
	f.groups("0::/a/b\n", "a/cpu.stat: usage_usec 1000000")
	clock.now += time.Second
	if ans := ask(t, a, q); ans.Open || ans.Findings[0].Of != "host" || *ans.Findings[0].Value != 100 {
		t.Errorf("the host is full, and the group is not: %+v", ans)
	}
}

func TestAskNeeds(t *testing.T) {
	const g = 1 << 30
	f, clock := newTree(t), &fakeClock{} // 12G are available, 4 CPUs
	a := clock.asker()
	q := Question{SinceStart: -1, Need: lease.Need{Mem: 3 * g, CPU: 1}}
	others := func(cpu time.Duration) []Use {
		return []Use{
			{ID: "seen", Need: lease.Need{Mem: 4 * g, CPU: 2}, Mem: g, CPU: cpu, Known: true}, // 3G aside
			{ID: "unseen", Need: lease.Need{Mem: 6 * g, CPU: 1}},                              // 6G and 1 CPU aside
		}
	}
	q.Others = others(10 * time.Second)
	if ans := ask(t, a, q); !ans.Measuring {
		t.Fatalf("%+v", ans)
	}
	f.cpu(100, 300)
	clock.now += time.Second
	q.Others = others(11 * time.Second) // of its 2 CPUs it uses 1
	ans := ask(t, a, q)
	// 12G - 3G - 6G = 3G; 4 CPUs - 1 in use - 1 of seen - 1 of unseen = 1.
	if !ans.Open || *ans.Findings[0].Value != 3*g || *ans.Findings[1].Value != 1 {
		t.Errorf("it fits exactly: %+v", ans.Findings)
	}
	q.Need.Mem++
	if ans := ask(t, a, q); ans.Open || !strings.Contains(ans.Why(), "need: 3G free, less than the needed 3G of 16G (host; 9G of it set aside for jobs that have not used it yet)") {
		t.Errorf("a byte too much: %q", ans.Why())
	}
	q.Need = lease.Need{CPU: 1.5}
	if ans := ask(t, a, q); ans.Open || !strings.HasPrefix(ans.Why(), "need: 1 free, less than the needed 1.5 of 4 CPUs") {
		t.Errorf("half a CPU too much: %q", ans.Why())
	}
	q.Need = lease.Need{}
	q.Sets = []Set{{Gates: Gates{MinMem: Amount{Bytes: 4 * g}}}}
	if ans := ask(t, a, q); ans.Open || *ans.Findings[0].Value != 3*g {
		t.Errorf("a gate does not see what is set aside: %+v", ans.Findings)
	}
}

func TestCheck(t *testing.T) {
	const g = 1 << 30
	for _, c := range []struct {
		why    string
		remove string
		q      Question
		want   string // "": fine
	}{
		{"all there", "", gates(every), "--min-disk /a=b=5G"},
		{"nothing asked", "proc", gates(Gates{}), ""},
		{"no counters", "proc/stat", gates(Gates{MaxCPU: 0.8}), "cannot check --max-cpu 80%: open "},
		{"no memory", "proc/meminfo", gates(Gates{MaxMem: 0.8}), "--max-mem 80%"},
		{"no memory, of the pool", "proc/meminfo", Question{Sets: []Set{{Gates: Gates{MinMem: Amount{Bytes: 5}}, From: "pool"}}}, "the pool's --min-mem 5:"},
		{"no load", "proc/loadavg", gates(Gates{MaxLoad: 2}), "--max-load 2: open "},
		{"no pressure", "proc/pressure", gates(Gates{MaxPressure: []Pressure{{"cpu", false, 3}}}), "no pressure stall information"},
		{"no file of one pressure", "proc/pressure/io", gates(Gates{MaxPressure: []Pressure{{"cpu", false, 3}}}), ""},
		{"no disk", "", gates(Gates{MinDisk: []Disk{{"/", 1}, {"/not/here", 1}}}), "cannot check --min-disk /not/here=1: statfs /not/here: no such file or directory"},
		{"a command does not need it", "proc/stat", gates(Gates{Command: "exit 1"}), ""},
		{"a need of memory unread", "proc/meminfo", Question{Need: lease.Need{Mem: 1}}, "--need mem=1"},
		{"a need of CPU unread", "proc/stat", Question{Need: lease.Need{CPU: 1}, Sets: []Set{{Gates: Gates{MaxMem: 0.9}}}}, "--need cpu=1"},
		{"a need that fits", "", Question{Need: lease.Need{Mem: 16 * g, CPU: 4}}, ""},
		{"a need of too much memory", "", Question{Need: lease.Need{Mem: 17 * g}}, "--need mem=17G is more than the 16G of memory there are (host)"},
		{"a need of too many CPUs", "", Question{Need: lease.Need{CPU: 4.5}}, "--need cpu=4.5 is more than the 4 CPUs there are (host)"},
		{"a need that no gate lets in", "", Question{Need: lease.Need{Mem: 9 * g}, Sets: []Set{{Gates: Gates{MaxMem: 0.5}, From: "pool"}}}, "--need mem=9G never goes with the pool's --max-mem 50%"},
		{"a need that leaves too little", "", Question{Need: lease.Need{Mem: 9 * g}, Sets: []Set{{Gates: Gates{MinMem: Amount{Bytes: 8 * g}}}}}, "never goes with --min-mem 8G"},
		{"a need of CPU that no gate lets in", "", Question{Need: lease.Need{CPU: 3}, Sets: []Set{{Gates: Gates{MaxCPU: 0.5}}}}, "never goes with --max-cpu 50%"},
		{"busy is no error", "", gates(Gates{MaxMem: 0.01, MaxLoad: 0.01, MaxCPU: 0.01}), ""},
	} {
		t.Run(c.why, func(t *testing.T) {
			f := newTree(t)
			if c.remove != "" {
				f.remove(c.remove)
			}
			err := (&Asker{}).Check(c.q)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// What was fine at the start and fails later closes the gate, and opens it
// again when it comes back.
func TestReadingFailsLater(t *testing.T) {
	f := newTree(t)
	a, q := &Asker{}, gates(Gates{MaxLoad: 2})
	for range 2 {
		if ans := ask(t, a, q); !ans.Open {
			t.Fatalf("%+v", ans)
		}
		f.remove("proc/loadavg")
		if ans := ask(t, a, q); ans.Open || !strings.Contains(ans.Why(), "max-load: cannot be read: open "+f.root) {
			t.Errorf("%+v", ans)
		}
		f.put("proc/loadavg", "1 1 1 1/1 1\n")
	}
}

func TestAskEndedContext(t *testing.T) {
	newTree(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if ans := (&Asker{}).Ask(ctx, gates(Gates{MaxMem: 0.9})); ans.Open {
		t.Errorf("open: %+v", ans)
	}
}

// Without All, and without a gate for it, a file is not opened at all.
func TestReadsNoMoreThanIsAsked(t *testing.T) {
	f := newTree(t)
	for _, file := range []string{"stat", "loadavg", "pressure"} {
		f.remove("proc/" + file)
	}
	ans := ask(t, &Asker{}, gates(Gates{MaxMem: 0.9}))
	if !ans.Open || len(ans.Readings.Errors) > 0 || ans.Share != nil {
		t.Errorf("%+v", ans)
	}
	all := ask(t, &Asker{}, Question{All: true, SinceStart: -1})
	if got := len(all.Readings.Errors); got != 5 || len(all.Readings.Mem) != 1 {
		t.Errorf("%d errors: %+v", got, all.Readings)
	}
}

func TestHere(t *testing.T) {
	t.Setenv("HOST_PROC", "")
	t.Setenv("HOST_SYS", "")
	a, q := &Asker{Timings: Timings{Window: 50 * ms}}, gates(Gates{MaxCPU: 1, MaxMem: 1, MaxLoad: 9000})
	if err := a.Check(q); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		ans := ask(t, a, q)
		if !ans.Measuring {
			if got := ans.Readings; len(got.Errors) > 0 || got.CPUs < 0.001 || slices.ContainsFunc(got.Mem, func(l MemLevel) bool { return l.Total == 0 }) {
				t.Errorf("%+v", got)
			}
			return
		}
		time.Sleep(ans.Again)
	}
	t.Error("it measures for ever")
}
