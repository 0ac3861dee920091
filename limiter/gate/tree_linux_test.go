package gate

import (
	"berth/lease/clock"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tree is a made-up machine under HOST_PROC and HOST_SYS.
type tree struct {
	t    *testing.T
	root string
}

// newTree has 4 CPUs, 16G of memory with 12G available, a load of 2 and little
// pressure, and no control groups.
func newTree(t *testing.T) *tree {
	f := &tree{t, t.TempDir()}
	t.Setenv("HOST_PROC", filepath.Join(f.root, "proc"))
	t.Setenv("HOST_SYS", filepath.Join(f.root, "sys"))
	f.cpu(0, 0)
	f.memory(12 << 20)
	f.put("proc/loadavg", "2.00 1.00 0.50 1/80 6905\n")
	for _, of := range []string{"cpu", "io", "memory"} {
		f.put("proc/pressure/"+of, "some avg10=5.00 avg60=0.05 avg300=0.97 total=5677385795\nfull avg10=1.50 avg60=0.00 avg300=0.00 total=0\n")
	}
	f.put("proc/sys/kernel/random/boot_id", "a-boot\n")
	f.put("proc/self/cgroup", "")
	return f
}

// put writes a file as the kernel shows it: never half of it.
func (f *tree) put(name, text string) {
	f.t.Helper()
	name = filepath.Join(f.root, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		f.t.Error(err)
	}
	if err := os.WriteFile(name+"~", []byte(text), 0o644); err != nil {
		f.t.Error(err)
	}
	if err := os.Rename(name+"~", name); err != nil {
		f.t.Error(err)
	}
}

func (f *tree) remove(name string) {
	f.t.Helper()
	if err := os.RemoveAll(filepath.Join(f.root, name)); err != nil {
		f.t.Error(err)
	}
}

// cpu sets the counters in ticks, of all 4 CPUs together. They have numbers
// that no real one has, so that the affinity under which the tests run leaves
// them alone. Each way to be busy and to be idle gets a part.
func (f *tree) cpu(busy, idle int) {
	text := "cpu  is not looked at\n"
	for i := range 4 {
		b, d := busy/4, idle/4
		// user nice system idle iowait irq softirq steal guest guest_nice; the guest's is in user.
		text += fmt.Sprintf("cpu%d %d %d %d %d %d %d %d %d %d 0\n", 5000+i, b/2, b/16, b/16, d/2, d-d/2, b/16, b/16, b-b/2-4*(b/16), b/2)
	}
	f.put("proc/stat", text+"intr 0\n")
}

func (f *tree) memory(availableKB int) {
	f.put("proc/meminfo", fmt.Sprintf("MemTotal:       %d kB\nMemFree:  1 kB\nMemAvailable: %d kB\n", 16<<20, availableKB))
}

// groups writes lines of "path: content".
func (f *tree) groups(cgroup string, files ...string) {
	f.t.Helper()
	f.put("proc/self/cgroup", cgroup)
	for _, line := range files {
		name, text, _ := strings.Cut(line, ": ")
		f.put("sys/fs/cgroup/"+name, strings.ReplaceAll(text, ";", "\n")+"\n")
	}
}

// fakeClock is an Asker's time.
type fakeClock struct{ now time.Duration }

func (c *fakeClock) asker() *Asker {
	if c.now == 0 {
		c.now = time.Hour
	}
	return &Asker{Timings: Timings{Window: 500 * ms}, clock: func() clock.Instant { return clock.Instant(c.now) }}
}

func TestCPUs(t *testing.T) {
	for _, c := range []struct {
		why    string
		cgroup string
		files  []string
		want   int
	}{
		{"no groups", "", nil, 4},
		{"version 2, none set", "0::/a\n", []string{"a/cpu.max: max 100000"}, 4},
		{"version 2, rounded up", "0::/a\n", []string{"a/cpu.max: 150000 100000"}, 2},
		{"version 2, the parent's is smaller", "0::/a/b\n", []string{"a/cpu.max: 100000 100000", "a/b/cpu.max: 300000 100000"}, 1},
		{"version 2, more than there are", "0::/a\n", []string{"a/cpu.max: 900000 100000"}, 4},
		{"version 2, less than one", "0::/a\n", []string{"a/cpu.max: 5000 100000"}, 1},
		{"version 1", "3:cpuset:/x\n2:cpu,cpuacct:/a\n", []string{"cpu,cpuacct/a/cpu.cfs_quota_us: 300000", "cpu,cpuacct/a/cpu.cfs_period_us: 100000"}, 3},
		{"version 1, none set", "1:cpu:/\n", []string{"cpu/cpu.cfs_quota_us: -1", "cpu/cpu.cfs_period_us: 100000"}, 4},
		{"hybrid", "1:cpu:/a\n0::/b\n", []string{"cpu/a/cpu.cfs_quota_us: 300000", "cpu/a/cpu.cfs_period_us: 100000", "unified/b/cpu.max: 200000 100000"}, 2},
		{"a path that is not below the mount", "0::/docker/x/y\n", []string{"cpu.max: 200000 100000"}, 2},
		{"garbage", "what\n0::/a\n", []string{"a/cpu.max: soon"}, 4},
	} {
		t.Run(c.why, func(t *testing.T) {
			newTree(t).groups(c.cgroup, c.files...)
			if got := CPUs(); got != c.want {
				t.Errorf("%d, want %d", got, c.want)
			}
		})
	}
}

func TestCPUsHere(t *testing.T) {
	t.Setenv("HOST_PROC", "")
	t.Setenv("HOST_SYS", "")
	if got, most := CPUs(), affinity().n; got < 1 || got > most {
		t.Errorf("%d, and our affinity has %d", got, most)
	}
}

func TestAffinity(t *testing.T) {
	names := []string{"cpu0", "cpu1", "cpu2", "cpu3"}
	here, moved := roots{proc: "/proc"}, roots{proc: "/fake"}
	few := allowed{n: 2, isSet: func(i int) bool { return i == 1 || i == 3 }, restricted: func() bool { return true }}
	all := allowed{n: 2, isSet: func(i int) bool { return i < 2 }, restricted: func() bool { return false }}
	for _, c := range []struct {
		why   string
		a     allowed
		r     roots
		names []string
		want  string
	}{
		{"two of four", few, here, names, "cpu1 cpu3"},
		{"two of four, elsewhere", few, moved, names, "cpu1 cpu3"},
		{"all of this machine, and a bigger one is made up", all, moved, names, "cpu0 cpu1 cpu2 cpu3"},
		{"a list made for us", few, here, names[:2], "cpu0 cpu1"},
		{"numbers of another machine", few, here, []string{"cpu7", "cpu8", "cpu9"}, "cpu7 cpu8 cpu9"},
		{"not known", allowed{}, here, names, "cpu0 cpu1 cpu2 cpu3"},
	} {
		if got := strings.Join(c.a.of(c.r, c.names), " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.why, got, c.want)
		}
	}
	for list, want := range map[string]int{"0-3": 4, "0": 1, "0-1,4,6-7": 5, "": 0, "x": 0} {
		if got := countList(list); got != want {
			t.Errorf("%q has %d, want %d", list, got, want)
		}
	}
}

func TestMemoryLevels(t *testing.T) {
	const stat = "file 999999999;anon 100;shmem 20;slab 7"
	for _, c := range []struct {
		why    string
		cgroup string
		files  []string
		want   string
	}{
		{"none", "", nil, ""},
		{"version 2, the limit on the parent", "0::/a/b\n", []string{"a/memory.max: 1000", "a/memory.stat: " + stat, "a/b/memory.max: max"}, "cgroup v2 /a 120 of 1000, 880 left"},
		{"version 2, on both", "0::/a/b\n", []string{"a/memory.max: 1000", "a/memory.stat: " + stat, "a/b/memory.max: 500", "a/b/memory.stat: anon 600"}, "cgroup v2 /a 120 of 1000, 880 left|cgroup v2 /a/b 600 of 500, 0 left"},
		{"version 2, max", "0::/a\n", []string{"a/memory.max: max", "a/memory.stat: " + stat}, ""},
		{"version 1", "4:memory:/m\n", []string{"memory/m/memory.limit_in_bytes: 1000", "memory/m/memory.stat: cache 999;rss 1;shmem 1;total_rss 300;total_shmem 40"}, "cgroup v1 /m 340 of 1000, 660 left"},
		{"version 1, an old kernel", "4:memory:/m\n", []string{"memory/m/memory.limit_in_bytes: 1000", "memory/m/memory.stat: cache 999;rss 300"}, "cgroup v1 /m 300 of 1000, 700 left"},
		{"version 1, a number for none", "4:memory:/m\n", []string{"memory/m/memory.limit_in_bytes: 9223372036854771712", "memory/memory.limit_in_bytes: 17179869184"}, ""},
		{"hybrid", "4:memory:/m\n1:name=systemd:/s\n0::/a\n", []string{"memory/m/memory.limit_in_bytes: 1000", "memory/m/memory.stat: total_rss 1", "unified/a/memory.max: 2000", "unified/a/memory.stat: " + stat}, "cgroup v1 /m 1 of 1000, 999 left|cgroup v2 /a 120 of 2000, 1880 left"},
		{"a path that is not below the mount", "0::/docker/x/y\n", []string{"memory.max: 1000", "memory.stat: " + stat}, "cgroup v2 / 120 of 1000, 880 left"},
		{"a group that may have nothing", "0::/a\n", []string{"a/memory.max: 0", "a/memory.stat: " + stat}, "cgroup v2 /a 120 of 0, 0 left"},
	} {
		t.Run(c.why, func(t *testing.T) {
			newTree(t).groups(c.cgroup, c.files...)
			r, _ := (&Asker{}).read(want{mem: true})
			var got []string
			for _, l := range r.Mem[1:] {
				got = append(got, fmt.Sprintf("%s %d of %d, %d left", l.Of, l.Used, l.Total, l.Available))
			}
			if strings.Join(got, "|") != c.want || r.Mem[0] != (MemLevel{"host", 16 << 30, 4 << 30, 12 << 30}) {
				t.Errorf("%+v, %v; want %s", r.Mem, r.Errors, c.want)
			}
		})
	}
}

func TestCPULevels(t *testing.T) {
	for _, c := range []struct {
		why    string
		cgroup string
		files  []string
		later  []string
		want   string
	}{
		{"none", "", nil, nil, "host 1 of 4"},
		{"version 2 on the parent", "0::/a/b\n", []string{"a/cpu.max: 200000 100000", "a/cpu.stat: usage_usec 5;user_usec 9"}, []string{"a/cpu.stat: usage_usec 500005"}, "host 1 of 4|cgroup v2 /a 0.5 of 2"},
		{"version 1, both in one", "2:cpu,cpuacct:/a\n", []string{"cpu,cpuacct/a/cpu.cfs_quota_us: 150000", "cpu,cpuacct/a/cpu.cfs_period_us: 100000", "cpu,cpuacct/a/cpuacct.usage: 5"}, []string{"cpu,cpuacct/a/cpuacct.usage: 750000005"}, "host 1 of 4|cgroup v1 /a 0.75 of 1.5"},
		{"version 1, each its own", "2:cpuacct:/\n1:cpu:/a\n", []string{"cpu/a/cpu.cfs_quota_us: 150000", "cpu/a/cpu.cfs_period_us: 100000", "cpuacct/a/cpuacct.usage: 0"}, []string{"cpuacct/a/cpuacct.usage: 1000000000"}, "host 1 of 4|cgroup v1 /a 1 of 1.5"},
	} {
		t.Run(c.why, func(t *testing.T) {
			f, clock := newTree(t), &fakeClock{}
			f.groups(c.cgroup, c.files...)
			a := clock.asker()
			if first := a.Ask(t.Context(), Question{SinceStart: -1, All: true}); !first.Measuring || first.Open {
				t.Fatalf("%+v", first)
			}
			f.cpu(100, 300)
			f.groups(c.cgroup, c.later...)
			clock.now += time.Second
			ans := a.Ask(t.Context(), Question{SinceStart: -1, All: true})
			var got []string
			for _, l := range ans.Readings.CPU {
				if l.Used == nil {
					t.Fatalf("%+v", ans)
				}
				got = append(got, fmt.Sprintf("%s %.4g of %v", l.Of, *l.Used, l.CPUs))
			}
			if s := strings.Join(got, "|"); s != c.want || ans.Measuring || ans.Readings.Window != time.Second {
				t.Errorf("%s over %v, %v; want %s", s, ans.Readings.Window, ans.Readings.Errors, c.want)
			}
		})
	}
}

// A file that cannot be read is an error with its name, whatever gopsutil makes
// of it.
func TestUnreadable(t *testing.T) {
	for _, c := range []struct{ why, file, text, key, want string }{
		{"no CPUs", "stat", "", "cpu", "proc/stat: no such file"},
		{"CPUs of no kind", "stat", "intr 0\nctxt 1\n", "cpu", "no lines of CPUs"},
		{"no memory", "meminfo", "", "memory", "proc/meminfo: no such file"},
		{"memory of no size", "meminfo", "MemFree: 1 kB\n", "memory", "does not say"},
		{"no load", "loadavg", "", "load", "proc/loadavg: no such file"},
		{"half a load", "loadavg", "0.5 0.5", "load", "three averages"},
		{"no number", "loadavg", "NaN 0.5 0.5", "load", `"NaN"`},
		{"no pressure", "pressure/io", "", "pressure io", "psi=1"},
		{"pressure of no kind", "pressure/io", "some\n", "pressure io", "no average"},
		{"a limit that is none", "", "0::/a\n|a/memory.max: lots", "memory", `"lots"`},
		{"a limit that is empty", "", "0::/a\n|a/memory.max: ", "memory", "0 words"},
		{"a quota that is none", "", "0::/a\n|a/cpu.max: 0 100000", "cpu", "quota"},
		{"a quota of nothing known, for the load", "", "0::/a\n|a/cpu.max: x", "load", "words"},
		{"a limit, and no use", "", "0::/a\n|a/memory.max: 1000", "memory", "memory.stat"},
		{"a limit, and use of no kind", "", "0::/a\n|a/memory.max: 1000|a/memory.stat: file 1", "memory", "no anon"},
		{"a quota, and no use", "", "0::/a\n|a/cpu.max: 1 1", "cpu", "cpu.stat"},
		{"a quota, and use of no kind", "", "0::/a\n|a/cpu.max: 1 1|a/cpu.stat: nr 1", "cpu", "usage_usec"},
		{"a quota of version 1, and no use", "", "1:cpu:/a\n|cpu/a/cpu.cfs_quota_us: 1|cpu/a/cpu.cfs_period_us: 1", "cpu", "cpuacct"},
		{"a quota of version 1, and no number", "", "1:cpu:/a\n|cpu/a/cpu.cfs_quota_us: 1|cpu/a/cpu.cfs_period_us: 1|cpu/a/cpuacct.usage: x", "cpu", `"x"`},
	} {
		t.Run(c.why, func(t *testing.T) {
			f := newTree(t)
			if c.file == "" {
				lines := strings.Split(c.text, "|")
				f.groups(lines[0], lines[1:]...)
			} else if f.remove("proc/" + c.file); c.text != "" {
				f.put("proc/"+c.file, c.text)
			}
			ans := (&Asker{}).Ask(t.Context(), Question{All: true, SinceStart: -1, Sets: []Set{{Gates: every}}})
			if got := ans.Readings.Errors[c.key]; !strings.Contains(got, c.want) || ans.Open {
				t.Errorf("open %v, errors %v; want %q", ans.Open, ans.Readings.Errors, c.want)
			}
		})
	}
}

// A group's files are gone for a moment again and again. With the group full
// and the host empty, any answer that overlooks the group is open.
func TestFilesVanish(t *testing.T) {
	for _, victim := range []string{"a/memory.max", "a/memory.stat", "a"} {
		t.Run(victim, func(t *testing.T) {
			f := newTree(t)
			whole := func() {
				f.groups("0::/a\n", "a/memory.stat: anon 990", "a/memory.current: 990", "a/memory.max: 1000")
			}
			whole()
			a := &Asker{}
			q := Question{SinceStart: -1, Sets: []Set{{Gates: Gates{MaxMem: 0.9}}}}
			if err := a.Check(q); err != nil {
				t.Fatal(err)
			}
			stop, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				for {
					select {
					case <-stop:
						return
					default:
					}
					f.remove("sys/fs/cgroup/" + victim)
					time.Sleep(3 * time.Millisecond)
					whole()
					time.Sleep(3 * time.Millisecond)
				}
			}()
			defer func() { close(stop); <-done }()
			vanished := 0
			for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); {
				ans := a.Ask(t.Context(), q)
				if ans.Open {
					t.Fatalf("open: %+v", ans)
				}
				if len(ans.Readings.Errors) > 0 {
					vanished++
				}
			}
			t.Logf("%d answers in which it was gone all the time", vanished)
		})
	}
}

// When a limit stays away, that is believed.
func TestLimitRemoved(t *testing.T) {
	f, clock := newTree(t), &fakeClock{}
	f.groups("0::/a\n", "a/memory.stat: anon 990", "a/memory.max: 1000")
	a := clock.asker()
	ask := func(open bool, of string) {
		t.Helper()
		q := Question{SinceStart: -1, Sets: []Set{{Gates: Gates{MaxMem: 0.9}}}}
		if ans := a.Ask(t.Context(), q); ans.Open != open || ans.Findings[0].Of != of {
			t.Errorf("after %v: %+v", clock.now, ans)
		}
	}
	ask(false, "cgroup v2 /a")
	f.remove("sys/fs/cgroup/a/memory.max")
	ask(false, "")
	clock.now += goneFor - 1
	ask(false, "")
	f.put("sys/fs/cgroup/a/memory.max", "1000")
	ask(false, "cgroup v2 /a")
	f.put("sys/fs/cgroup/a/memory.max", "max")
	ask(false, "")
	clock.now += goneFor
	ask(true, "host")
}

func TestDoubts(t *testing.T) {
	for _, c := range []struct {
		why    string
		cgroup string
		files  []string
		want   string
	}{
		{"all there", "0::/a\n", []string{"a/memory.max: max", "a/memory.current: 5"}, ""},
		{"a group without the controller", "0::/a/b\n", []string{"a/memory.max: max", "a/b/cpu.max: max"}, ""},
		{"a root without a limit", "0::/\n", []string{"memory.current: 5"}, ""},
		{"our group is not there", "0::/a/b\n", []string{"a/memory.max: 5"}, "a/b is not there"},
		{"a limit is not there", "0::/a/b\n", []string{"a/memory.current: 5", "a/b/memory.max: 5"}, "a has lost its limit"},
		{"a limit of version 1 is not there", "1:memory:/a\n", []string{"memory/a/memory.usage_in_bytes: 5"}, "memory/a has lost its limit"},
	} {
		t.Run(c.why, func(t *testing.T) {
			newTree(t).groups(c.cgroup, c.files...)
			f, err := hostRoots().bounds(memGroup)
			if err != nil || !strings.HasSuffix(f.doubt, c.want) || (f.doubt == "") != (c.want == "") {
				t.Errorf("%+v, %v; want %q", f, err, c.want)
			}
			a, looks := &Asker{}, 0
			for i, want := range []int{1 + retries, 1} {
				looks = 0
				err := a.groups(hostRoots(), memGroup, func([]bound) error { looks++; return nil })
				if c.want == "" {
					want = 1
				}
				if err != nil || looks != want {
					t.Errorf("question %d: %v after %d looks, want %d", i, err, looks, want)
				}
			}
		})
	}
}
