package gate

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/shirou/gopsutil/v3/disk"
	"github.com/shirou/gopsutil/v3/load"
	"github.com/shirou/gopsutil/v3/mem"
)

// roots is where the machine is read: the same environment variables that
// gopsutil honours, so that both always speak of one machine.
type roots struct{ proc, sys string }

func hostRoots() roots {
	r := roots{proc: "/proc", sys: "/sys"}
	if p := os.Getenv("HOST_PROC"); p != "" {
		r.proc = p
	}
	if s := os.Getenv("HOST_SYS"); s != "" {
		r.sys = s
	}
	return r
}

// moved reports whether /proc may describe another machine than our affinity does.
func (r roots) moved() bool { return r.proc != "/proc" }

// hostCPU is the counters of the CPUs that we may use.
type hostCPU struct {
	busy, total time.Duration
	names       []string
}

// times reads them. Waiting for I/O does not count as busy, because the CPU is free for
// another job. Stolen time does, because no job here can have it.
func (r roots) times() (hostCPU, error) {
	all, err := r.counters()
	if err != nil {
		return hostCPU{}, err
	}
	var h hostCPU
	for name := range all {
		h.names = append(h.names, name)
	}
	slices.Sort(h.names)
	h.names = affinity().of(r, h.names)
	for _, name := range h.names {
		h.busy += all[name].busy
		h.total += all[name].busy + all[name].idle
	}
	return h, nil
}

// cpuTime is the time of one CPU since the boot.
type cpuTime struct{ busy, idle time.Duration }

// id tells the counters of one choice of CPUs from those of another.
func (h hostCPU) id() uint64 {
	f := fnv.New64a()
	for _, n := range h.names {
		f.Write([]byte(n + " "))
	}
	return f.Sum64()
}

// memory of the host. What the kernel can give back at once counts as available.
func (r roots) memory() (MemLevel, error) {
	v, err := mem.VirtualMemory()
	if err == nil && v.Total == 0 {
		// The library takes a missing file for a machine without memory.
		file := path.Join(r.proc, "meminfo")
		if _, err = os.ReadFile(file); err == nil {
			err = fmt.Errorf("%s does not say how much memory there is", file)
		}
	}
	if err != nil {
		return MemLevel{}, err
	}
	return memLevel(host, v.Total, v.Total-min(v.Available, v.Total)), nil
}

func memLevel(of string, total, used uint64) MemLevel {
	return MemLevel{Of: of, Total: total, Used: used, Available: total - min(used, total)}
}

// load reads the 1-minute load average.
func (r roots) load() (float64, error) {
	if err := r.loadReadable(); err != nil {
		return 0, err
	}
	avg, err := load.Avg()
	if err != nil {
		return 0, err
	}
	return avg.Load1, nil
}

// pressure reads the averages over 10 seconds of one kind: cpu, io or mem.
func (r roots) pressure(of string) (map[string]float64, error) {
	file := path.Join(r.proc, "pressure", strings.Replace(of, "mem", "memory", 1))
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EOPNOTSUPP) {
		return nil, fmt.Errorf("%w: this kernel has no pressure stall information, or it is off (psi=1 on the kernel's command line turns it on)", err)
	}
	if err != nil {
		return nil, err
	}
	all := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line) // some avg10=0.00 avg60=0.05 avg300=0.97 total=5677385795
		if len(f) < 2 || !strings.HasPrefix(f[1], "avg10=") {
			continue
		}
		if v, err := strconv.ParseFloat(f[1][len("avg10="):], 64); err == nil && v >= 0 && v <= 100 {
			all[Pressure{Of: of, Full: f[0] == "full"}.name()] = v
		}
	}
	if _, ok := all[of]; !ok {
		return nil, fmt.Errorf("%s has no average over 10 seconds", file)
	}
	return all, nil
}

// free is the space that we may use at a path; what is reserved for root is not in it.
func free(path string) (uint64, error) {
	u, err := disk.Usage(path)
	if err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: path, Err: err}
	}
	return u.Free, nil
}
