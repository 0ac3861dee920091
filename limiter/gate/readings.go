package gate

import (
	"math"
	"strconv"
	"time"
)

// host is the level that is always there.
const host = "host"

// CPULevel is one place that bounds the CPUs: the host ("host"), or a control
// group of ours that has a quota ("cgroup v2 /a/b", "cgroup v1 /a/b").
type CPULevel struct {
	Of   string   `json:"of"`
	CPUs float64  `json:"cpus"` // how many there are
	Used *float64 `json:"used"` // how many were in use over the window; nil: not known yet
}

// MemLevel is one place that bounds memory, in bytes. Page cache is not use.
type MemLevel struct {
	Of        string `json:"of"`
	Total     uint64 `json:"total"`
	Used      uint64 `json:"used"`
	Available uint64 `json:"available"`
}

// LoadReading is the 1-minute load average.
type LoadReading struct {
	Load1  float64 `json:"load1"`
	PerCPU float64 `json:"per_cpu"` // by the CPUs that we may use
}

// DiskReading is the space that we may use at a path, in bytes.
type DiskReading struct {
	Path string `json:"path"`
	Free uint64 `json:"free"`
}

// Readings are what was read of the machine for a question: what its gates
// need, no more. The host stands before the groups, and those before the
// groups inside them.
type Readings struct {
	CPUs     float64            `json:"cpus"` // usable: by affinity, and by the smallest quota
	CPU      []CPULevel         `json:"cpu,omitempty"`
	Window   time.Duration      `json:"window_ns,omitempty"` // the time that the CPU reading covers
	Mem      []MemLevel         `json:"mem,omitempty"`
	Load     *LoadReading       `json:"load,omitempty"`
	Pressure map[string]float64 `json:"pressure,omitempty"` // "io", "io:full": percent of the last 10 seconds
	Disk     []DiskReading      `json:"disk,omitempty"`
	Errors   map[string]string  `json:"errors,omitempty"` // what could not be read, and why
}

// The names under which Errors keeps what could not be read. Pressure has one
// for each kind ("pressure io"), a disk one for each path ("disk /data").
const (
	cpuError  = "cpu"
	memError  = "memory"
	loadError = "load"
	psiError  = "pressure "
	diskError = "disk "
)

// Env is what is known, for the user's own command. The percentages are whole
// numbers, since test(1) compares no others; load and pressure are not. Where
// several levels bound a resource, it is the one with the least room.
func (r Readings) Env() []string {
	var env []string
	add := func(name, value string) { env = append(env, "BERTH_"+name+"="+value) }
	if r.CPUs > 0 {
		add("CPUS", number(r.CPUs))
	}
	if share, ok := r.cpuShare(); ok {
		add("CPU_PERCENT", number(math.Round(share*100)))
	}
	if share, ok := r.memShare(); ok {
		tight := r.tightest()
		add("MEM_PERCENT", number(math.Round(share*100)))
		add("MEM_AVAILABLE", strconv.FormatUint(tight.Available, 10))
		add("MEM_USED", strconv.FormatUint(tight.Used, 10))
	}
	if r.Load != nil {
		add("LOAD", strconv.FormatFloat(r.Load.PerCPU, 'f', 2, 64))
	}
	for _, p := range [][2]string{{"cpu", "CPU"}, {"io", "IO"}, {"mem", "MEM"}} {
		if v, ok := r.Pressure[p[0]]; ok {
			add("PRESSURE_"+p[1], number(v))
		}
	}
	return env
}

// cpuShare is the share in use where it is largest.
func (r Readings) cpuShare() (float64, bool) {
	share, ok := 0.0, false
	for _, l := range r.CPU {
		if l.Used != nil && l.CPUs > 0 {
			share, ok = max(share, *l.Used/l.CPUs), true
		}
	}
	return share, ok
}

// memShare is the share in use where it is largest.
func (r Readings) memShare() (float64, bool) {
	share := 0.0
	for _, l := range r.Mem {
		share = max(share, l.share(float64(l.Used)))
	}
	return share, len(r.Mem) > 0
}

// share of the level that a number of bytes is. A group may have a limit of 0:
// it is full.
func (l MemLevel) share(bytes float64) float64 {
	if l.Total == 0 {
		return 1
	}
	return bytes / float64(l.Total)
}

// tightest is the level with the least memory available; not necessarily the
// one whose share in use is the largest.
func (r Readings) tightest() MemLevel {
	best := r.Mem[0]
	for _, l := range r.Mem {
		if l.Available < best.Available {
			best = l
		}
	}
	return best
}
