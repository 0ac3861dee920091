package gate

import (
	"berth/lease"
	"strings"
	"testing"
)

func used(v float64) *float64 { return &v }

func TestDecide(t *testing.T) {
	const g = 1 << 30
	two := func(host, group float64) Readings {
		return Readings{CPU: []CPULevel{{"host", 4, used(host)}, {"cgroup v2 /a", 2, used(group)}}}
	}
	mem := Readings{Mem: []MemLevel{memLevel("host", 16*g, 8*g), memLevel("cgroup v1 /m", 4*g, 1*g)}}
	one := func(total, used uint64) Readings { return Readings{Mem: []MemLevel{memLevel("host", total, used)}} }
	failed := func(name string) Readings { return Readings{Errors: map[string]string{name: "no such thing"}} }
	load := Readings{CPUs: 2, Load: &LoadReading{3, 1.5}}
	psi := Readings{Pressure: map[string]float64{"io": 30, "io:full": 5}}
	disk := Readings{Disk: []DiskReading{{"/d", 5 * g}}}

	for _, c := range []struct {
		why   string
		gates Gates
		need  lease.Need
		r     Readings
		aside reserved
		open  bool
		of    string
		says  string
	}{
		{"cpu below", Gates{MaxCPU: 0.8}, lease.Need{}, two(1, 1), reserved{}, true, "cgroup v2 /a", "50% busy, below 80% of 2 CPUs (cgroup v2 /a)"},
		{"cpu at it, and nothing declared", Gates{MaxCPU: 0.8}, lease.Need{}, two(0, 1.6), reserved{}, false, "cgroup v2 /a", "80% busy, not below 80% of 2 CPUs (cgroup v2 /a)"},
		{"the host is full, the group is not", Gates{MaxCPU: 0.8}, lease.Need{}, two(3.9, 0), reserved{}, false, "host", "98% busy, not below 80% of 4 CPUs (host)"},
		{"a number that rounds to its threshold", Gates{MaxCPU: 0.8}, lease.Need{}, two(3.199, 0), reserved{}, true, "host", "79.97% busy, below 80% of 4 CPUs"},
		{"cpu set aside", Gates{MaxCPU: 0.8}, lease.Need{}, two(0, 1), reserved{cpu: 0.8}, false, "cgroup v2 /a", ", not below 80% of 2 CPUs (cgroup v2 /a; 0.8 CPUs of it set aside for jobs that have not used it yet)"},
		{"a level is not known yet", Gates{MaxCPU: 0.8}, lease.Need{}, Readings{CPU: []CPULevel{{"host", 2, nil}}}, reserved{}, false, "host", "measuring CPU use"},
		{"cpu unreadable", Gates{MaxCPU: 0.8}, lease.Need{}, failed("cpu"), reserved{}, false, "", "cannot be read: no such thing"},
		{"no cpu at all", Gates{MaxCPU: 0.8}, lease.Need{}, Readings{}, reserved{}, false, "", "cannot be read"},

		{"mem below", Gates{MaxMem: 0.8}, lease.Need{}, mem, reserved{}, true, "host", "50% in use, below 80% of 16G (host)"},
		{"the group is tighter with what is set aside", Gates{MaxMem: 0.8}, lease.Need{}, mem, reserved{mem: 2.5 * g}, false, "cgroup v1 /m", ", not below 80% of 4G (cgroup v1 /m; 2.5G of it set aside for jobs that have not used it yet)"},
		{"mem at it", Gates{MaxMem: 0.5}, lease.Need{}, one(16*g, 8*g), reserved{}, false, "host", ", not below 50% of 16G (host)"},
		{"mem unreadable", Gates{MaxMem: 0.8}, lease.Need{}, failed("memory"), reserved{}, false, "", "cannot be read"},
		{"a group that may have nothing", Gates{MaxMem: 1}, lease.Need{}, Readings{Mem: []MemLevel{memLevel("host", g, 0), memLevel("cgroup v2 /z", 0, 0)}}, reserved{}, false, "cgroup v2 /z", "100% of 0B"},

		{"available above", Gates{MinMem: Amount{Bytes: 2 * g}}, lease.Need{}, mem, reserved{}, true, "cgroup v1 /m", "3G available, above 2G of 4G (cgroup v1 /m)"},
		{"available at it", Gates{MinMem: Amount{Bytes: 3 * g}}, lease.Need{}, mem, reserved{}, false, "cgroup v1 /m", ", must be above 3G of 4G (cgroup v1 /m)"},
		{"available set aside", Gates{MinMem: Amount{Bytes: 2 * g}}, lease.Need{}, mem, reserved{mem: 1.5 * g}, false, "cgroup v1 /m", "of 4G (cgroup v1 /m; 1.5G of it set aside"},
		{"a share of the tightest", Gates{MinMem: Amount{Share: 0.5}}, lease.Need{}, mem, reserved{}, false, "host", "50% available, must be above 50% of 16G (host)"},
		{"a share above", Gates{MinMem: Amount{Share: 0.2}}, lease.Need{}, mem, reserved{}, true, "host", "above 20%"},
		{"more set aside than there is", Gates{MinMem: Amount{Bytes: 1}}, lease.Need{}, mem, reserved{mem: 9 * g}, false, "cgroup v1 /m", "0B available"},
		{"available unreadable", Gates{MinMem: Amount{Bytes: 1}}, lease.Need{}, failed("memory"), reserved{}, false, "", "cannot be read"},

		{"load at it", Gates{MaxLoad: 1.5}, lease.Need{}, load, reserved{}, false, "host", "1.5, not below 1.5 for each of 2 CPUs"},
		{"load below", Gates{MaxLoad: 1.6}, lease.Need{}, load, reserved{}, true, "host", "below 1.6"},
		{"load unreadable", Gates{MaxLoad: 1.6}, lease.Need{}, failed("load"), reserved{}, false, "", "cannot be read"},

		{"pressure at it", Gates{MaxPressure: []Pressure{{"io", false, 30}}}, lease.Need{}, psi, reserved{}, false, "io", "io 30%, not below 30% of the last 10 s"},
		{"pressure of all tasks", Gates{MaxPressure: []Pressure{{"io", true, 30}}}, lease.Need{}, psi, reserved{}, true, "io:full", "io:full 5%, below 30% of the last 10 s"},
		{"pressure that this kernel does not have", Gates{MaxPressure: []Pressure{{"cpu", true, 30}}}, lease.Need{}, psi, reserved{}, false, "cpu:full", "cannot be read"},
		{"pressure unreadable", Gates{MaxPressure: []Pressure{{"mem", false, 30}}}, lease.Need{}, failed("pressure mem"), reserved{}, false, "mem", "no such thing"},

		{"disk at it", Gates{MinDisk: []Disk{{"/d", 5 * g}}}, lease.Need{}, disk, reserved{}, false, "/d", "5G free, must be above 5G in /d"},
		{"disk above", Gates{MinDisk: []Disk{{"/d", 4 * g}}}, lease.Need{}, disk, reserved{}, true, "/d", "above 4G"},
		{"disk gone", Gates{MinDisk: []Disk{{"/e", 1}}}, lease.Need{}, failed("disk /e"), reserved{}, false, "/e", "no such thing"},

		{"a need fills memory up exactly", Gates{}, lease.Need{Mem: 3 * g}, mem, reserved{}, true, "cgroup v1 /m", "3G free, enough for the needed 3G of 4G (cgroup v1 /m)"},
		{"a need of a byte more", Gates{}, lease.Need{Mem: 3*g + 1}, mem, reserved{}, false, "cgroup v1 /m", "less than the needed 3"},
		{"a need beside what is set aside", Gates{}, lease.Need{Mem: 2 * g}, mem, reserved{mem: 1.5 * g}, false, "cgroup v1 /m", ", less than the needed 2G of 4G (cgroup v1 /m; 1.5G of it set aside for jobs that have not used it yet)"},
		{"a need unreadable", Gates{}, lease.Need{Mem: 1}, failed("memory"), reserved{}, false, "", "cannot be read"},
		{"a need of CPU", Gates{}, lease.Need{CPU: 1}, two(0, 1), reserved{}, true, "cgroup v2 /a", "1 free, enough for the needed 1 of 2 CPUs (cgroup v2 /a)"},
		{"a need of all CPUs on an idle machine", Gates{}, lease.Need{CPU: 2}, two(0.05, 0.05), reserved{}, true, "cgroup v2 /a", ", near enough to the needed 2 of 2 CPUs (cgroup v2 /a)"},
		{"a need of too many", Gates{}, lease.Need{CPU: 1}, two(0, 1.5), reserved{}, false, "cgroup v2 /a", ", less than the needed 1 of 2 CPUs (cgroup v2 /a)"},
		{"a need of CPU beside what is set aside", Gates{}, lease.Need{CPU: 1}, two(0, 0), reserved{cpu: 1.5}, false, "cgroup v2 /a", "1.5 CPUs of it set aside"},
		{"a need of CPU not measured", Gates{}, lease.Need{CPU: 1}, Readings{CPU: []CPULevel{{"host", 2, nil}}}, reserved{}, false, "host", "measuring"},
	} {
		all := decide(Question{Sets: []Set{{Gates: c.gates, From: "pool"}}, Need: c.need}, c.r, c.aside)
		if len(all) != 1 {
			t.Errorf("%s: %d verdicts: %+v", c.why, len(all), all)
			continue
		}
		v := all[0]
		if v.Open != c.open || v.Of != c.of || !strings.Contains(v.Says, c.says) {
			t.Errorf("%s: got open %v of %q: %s\nwant open %v of %q: %s", c.why, v.Open, v.Of, v.Says, c.open, c.of, c.says)
		}
		if (v.From == "pool") == (v.Gate == "need") {
			t.Errorf("%s: %s is from %q", c.why, v.Gate, v.From)
		}
		if v.Threshold == nil || v.Unit == "" {
			t.Errorf("%s: %+v lacks a threshold or a unit", c.why, v)
		}
	}
}

// The job's own need counts in each gate, which it may fill up exactly.
func TestDecideOwnNeed(t *testing.T) {
	const g = 1 << 30
	r := Readings{CPU: []CPULevel{{"host", 4, used(1)}}, Mem: []MemLevel{memLevel("host", 16*g, 8*g)}}
	for _, c := range []struct {
		why   string
		gates Gates
		need  lease.Need
		open  bool
		says  string
	}{
		{"cpu exactly", Gates{MaxCPU: 0.5}, lease.Need{CPU: 1}, true, ", within 50% of 4 CPUs (host; 1 CPU for this job)"},
		{"cpu above", Gates{MaxCPU: 0.5}, lease.Need{CPU: 1.5}, false, "above 50%"},
		{"cpu with the machine's own", Gates{MaxCPU: 1}, lease.Need{CPU: 3.1}, true, "near enough to 100%"},
		{"mem exactly", Gates{MaxMem: 0.75}, lease.Need{Mem: 4 * g}, true, ", within 75% of 16G (host; 4G for this job)"},
		{"mem above", Gates{MaxMem: 0.75}, lease.Need{Mem: 4*g + 1}, false, "above 75%"},
		{"available exactly", Gates{MinMem: Amount{Bytes: 4 * g}}, lease.Need{Mem: 4 * g}, true, ", at least 4G of 16G (host; 4G for this job)"},
		{"available less", Gates{MinMem: Amount{Bytes: 4 * g}}, lease.Need{Mem: 4*g + 1}, false, "less than 4G"},
	} {
		v := decide(Question{Sets: []Set{{Gates: c.gates}}, Need: c.need}, r, reserved{})[0]
		if v.Open != c.open || !strings.Contains(v.Says, c.says) {
			t.Errorf("%s: open %v: %s; want %v, %s", c.why, v.Open, v.Says, c.open, c.says)
		}
	}
}

// Ten jobs of a kind may not become eleven by the tolerance.
func TestSlackLetsNoJobMoreIn(t *testing.T) {
	for _, cpus := range []float64{0.5, 1, 2, 8, 64, 512} {
		for _, need := range []float64{0.1, 0.5, 1, 2, 16} {
			if need > cpus {
				continue
			}
			full := int(cpus / need)
			r := Readings{CPU: []CPULevel{{"host", cpus, used(float64(full) * need)}}}
			if v := decide(Question{Need: lease.Need{CPU: need}}, r, reserved{})[0]; v.Open && float64(full)*need > cpus-need/2 {
				t.Errorf("%v CPUs take %d jobs of %v, and one more: %s", cpus, full, need, v.Says)
			}
		}
	}
}

// Of a big level that is just closed and a small one that is just open, the big
// one decides, though the share is larger at the small one.
func TestClosedLevelDecides(t *testing.T) {
	r := Readings{CPU: []CPULevel{{"cgroup v2 /a", 2, used(1.09)}, {"host", 64, used(63.6)}}}
	q := Question{Sets: []Set{{Gates: Gates{MaxCPU: 1}}}, Need: lease.Need{CPU: 1}}
	if v := decide(q, r, reserved{})[0]; v.Open || v.Of != "host" {
		t.Errorf("%+v", v)
	}
}

func TestDecideOrder(t *testing.T) {
	q := Question{Sets: []Set{{Gates: every, From: "pool"}, {Gates: every}}, Need: lease.Need{Mem: 1, CPU: 1}}
	var got []string
	for _, v := range decide(q, Readings{}, reserved{}) {
		got = append(got, v.Gate+"/"+v.From)
		if v.Open {
			t.Errorf("%s is open without a reading", v.Gate)
		}
	}
	want := "max-cpu/pool max-cpu/ max-mem/pool max-mem/ min-mem/pool min-mem/ max-load/pool max-load/ " +
		"max-pressure/pool max-pressure/pool max-pressure/pool max-pressure/ max-pressure/ max-pressure/ min-disk/pool min-disk/pool min-disk/ min-disk/ need/ need/"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("got %s\nwant %s", s, want)
	}
}

func TestEnv(t *testing.T) {
	r := Readings{
		CPUs: 1.5, CPU: []CPULevel{{"host", 4, used(1)}, {"cgroup v2 /a", 1.5, used(1.2)}},
		Mem:      []MemLevel{memLevel("host", 1000, 900), memLevel("cgroup v2 /a", 90, 10)},
		Load:     &LoadReading{3, 2},
		Pressure: map[string]float64{"cpu": 1.25, "cpu:full": 9, "io": 0, "mem": 3},
	}
	want := "BERTH_CPUS=1.5 BERTH_CPU_PERCENT=80 BERTH_MEM_PERCENT=90 BERTH_MEM_AVAILABLE=80 BERTH_MEM_USED=10 BERTH_LOAD=2.00 " +
		"BERTH_PRESSURE_CPU=1.25 BERTH_PRESSURE_IO=0 BERTH_PRESSURE_MEM=3"
	if got := strings.Join(r.Env(), " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	unknown := Readings{CPU: []CPULevel{{"host", 4, nil}}}
	if got := unknown.Env(); got != nil {
		t.Errorf("nothing is known, and the environment has %q", got)
	}
}
