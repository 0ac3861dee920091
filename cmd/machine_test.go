//go:build unix

package cmd

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// machine is a made-up one under the script's HOST_PROC.
type machine struct {
	proc string
	mu   sync.Mutex
	cpus int
	busy float64 // percent
	user []uint64
	idle []uint64

	sys    string
	groups map[string]*group // by file
	blinks string
}

// group is the CPU time of a control group, which is measured by the clock.
type group struct {
	cpus float64
	used time.Duration
	at   time.Time
}

// cmdMachine makes one at its first call, and changes it later. Its CPU counters
// advance until the script ends. What a script brings in files of its own is not
// written over, unless it is named.
//
//	cpu=97         so many percent of the CPUs are busy
//	cpus=4         so many there are
//	mem=16G:12G    memory in all, and available
//	load=3.0       1-minute load average
//	psi.io=35      some avg10; psi.io:full=20
//	psi=off        a kernel without pressure stall information
//	uses=FILE:1.5  what FILE under HOST_SYS, a cpu.stat or a cpuacct.usage, counts grows
//	               by so many CPUs
//	blinks=FILE    that file is gone for a moment, again and again
func cmdMachine(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: machine [KEY=VALUE...]")
	}
	b := ofScript(ts)
	if b.machine == nil {
		b.machine = newMachine(ts)
	}
	m := b.machine
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range args {
		key, value, _ := strings.Cut(a, "=")
		ts.Check(m.set(key, value))
	}
	ts.Check(m.count())
}

func newMachine(ts *testscript.TestScript) *machine {
	proc := ts.Getenv("HOST_PROC")
	if proc == "" || ts.Getenv("HOST_SYS") == "" {
		ts.Fatalf("machine: HOST_PROC and HOST_SYS are not set")
	}
	m := &machine{proc: proc, cpus: 4, sys: ts.Getenv("HOST_SYS"), groups: map[string]*group{}}
	ts.Check(os.MkdirAll(ts.Getenv("HOST_SYS"), 0o755))
	for name, text := range map[string]string{
		"self/cgroup":               "0::/\n",
		"sys/kernel/random/boot_id": "00000000-0000-4000-8000-000000000001\n",
		"loadavg":                   loadavg("0.00"),
		"meminfo":                   meminfo(16<<30, 12<<30),
		"pressure/cpu":              pressure(map[string]string{}),
		"pressure/io":               pressure(map[string]string{}),
		"pressure/memory":           pressure(map[string]string{}),
	} {
		if !exists(filepath.Join(proc, name)) {
			ts.Check(m.write(name, text))
		}
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	var failed atomic.Pointer[error]
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
			m.mu.Lock()
			err := m.count()
			m.blink()
			m.mu.Unlock()
			if err != nil {
				failed.Store(&err)
				return
			}
		}
	}()
	ts.Defer(func() {
		close(stop)
		<-stopped
		if err := failed.Load(); err != nil {
			ts.Fatalf("machine: %v", *err)
		}
	})
	return m
}

func (m *machine) set(key, value string) (err error) {
	switch kind, psi := strings.CutPrefix(key, "psi."); {
	case psi:
		return m.setPressure(kind, value)
	case key == "psi" && value == "off":
		return os.RemoveAll(filepath.Join(m.proc, "pressure"))
	case key == "cpu":
		m.busy, err = strconv.ParseFloat(value, 64)
		return err
	case key == "cpus":
		m.cpus, err = strconv.Atoi(value)
		return err
	case key == "uses":
		file, cpus, _ := strings.Cut(value, ":")
		g := m.groups[file]
		if g == nil {
			g = &group{at: time.Now()}
			m.groups[file] = g
		}
		g.cpus, err = strconv.ParseFloat(cpus, 64)
		return err
	case key == "blinks":
		m.blinks = value
		return nil
	case key == "load":
		return m.write("loadavg", loadavg(value))
	case key == "mem":
		total, available, ok := strings.Cut(value, ":")
		t, err1 := bytesIn(total)
		a, err2 := bytesIn(available)
		if !ok || err1 != nil || err2 != nil {
			return fmt.Errorf("mem=%s is not TOTAL:AVAILABLE", value)
		}
		return m.write("meminfo", meminfo(t, a))
	}
	return fmt.Errorf("machine: no %s=%s", key, value)
}

// setPressure keeps the other line of its file.
func (m *machine) setPressure(kind, value string) error {
	of, line, _ := strings.Cut(kind, ":")
	name := "pressure/" + strings.Replace(of, "mem", "memory", 1)
	avg := map[string]string{}
	old, _ := os.ReadFile(filepath.Join(m.proc, name))
	for l := range strings.Lines(string(old)) {
		if f := strings.Fields(l); len(f) > 1 {
			avg[f[0]] = strings.TrimPrefix(f[1], "avg10=")
		}
	}
	avg[cmp.Or(line, "some")] = value
	return m.write(name, pressure(avg))
}

// ticksEach is how far a CPU's counters go at once: much farther than a real
// one's, so that a share of them is exact however seldom we come to it.
const ticksEach = 10_000

// count advances the counters of all CPUs.
func (m *machine) count() error {
	for len(m.user) < m.cpus {
		m.user, m.idle = append(m.user, 1000), append(m.idle, 1000)
	}
	var b strings.Builder
	b.WriteString("cpu  0 0 0 0 0 0 0 0 0 0\n")
	for i := range m.cpus {
		busy := uint64(m.busy*ticksEach/100 + 0.5)
		m.user[i] += busy
		m.idle[i] += ticksEach - busy
		fmt.Fprintf(&b, "cpu%d %d 0 0 %d 0 0 0 0 0 0\n", i, m.user[i], m.idle[i])
	}
	b.WriteString("intr 0\nctxt 0\nbtime 1700000000\nprocesses 1\nprocs_running 1\nprocs_blocked 0\n")
	for file, g := range m.groups {
		now := time.Now()
		g.used += time.Duration(g.cpus * float64(now.Sub(g.at)))
		g.at = now
		text := fmt.Sprintf("%d\n", g.used.Nanoseconds())
		if filepath.Base(file) == "cpu.stat" {
			text = fmt.Sprintf("usage_usec %d\nuser_usec 0\nsystem_usec 0\n", g.used.Microseconds())
		}
		if err := replace(filepath.Join(m.sys, file), text); err != nil {
			return err
		}
	}
	return m.write("stat", b.String())
}

// away is for how long a file that blinks is gone: long enough to be noticed,
// and shorter than what a reader may take for gone.
const away = 4 * time.Millisecond

func (m *machine) blink() {
	if m.blinks == "" {
		return
	}
	file := filepath.Join(m.sys, m.blinks)
	if os.Rename(file, file+".away") == nil {
		time.Sleep(away)
		_ = os.Rename(file+".away", file)
	}
}

func (m *machine) write(name, text string) error { return replace(filepath.Join(m.proc, name), text) }

// replace writes a file whole: a reader finds the old or the new one.
func replace(file, text string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

func loadavg(load string) string { return load + " 0.00 0.00 1/100 1000\n" }

func meminfo(total, available uint64) string {
	kb := func(n uint64) uint64 { return n / 1024 }
	return fmt.Sprintf("MemTotal: %d kB\nMemFree: %d kB\nMemAvailable: %d kB\nBuffers: 0 kB\nCached: 0 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
		kb(total), kb(available)/2, kb(available))
}

func pressure(avg10 map[string]string) string {
	var b strings.Builder
	for _, line := range []string{"some", "full"} {
		fmt.Fprintf(&b, "%s avg10=%s avg60=0.00 avg300=0.00 total=0\n", line, cmp.Or(avg10[line], "0.00"))
	}
	return b.String()
}

// bytesIn reads 16G, 500M or plain bytes. Not with the product's own parser: one
// that is wrong would be wrong here, too.
func bytesIn(s string) (uint64, error) {
	shift := 0
	if i := strings.IndexAny(s, "KMG"); i > 0 && i == len(s)-1 {
		shift = map[byte]int{'K': 10, 'M': 20, 'G': 30}[s[i]]
		s = s[:i]
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n << shift, err
}
