package gate

import (
	"math"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"
)

// CPUs is how many CPUs this process may keep busy, at least 1: its affinity, and below
// that the smallest quota of its control group and the groups above it, rounded up. It is
// not runtime.GOMAXPROCS(0), which an environment variable changes and which never goes
// below 2 for a quota.
//
// Every start calls it, so it reads a handful of small files, each once, and does not
// wait for one that vanishes for a moment.
func CPUs() int {
	r := hostRoots()
	ours, _ := r.bounds(cpuGroup)
	return max(1, int(math.Ceil(usable(r.cpus(), ours.bounds))))
}

// usable is the least of the host's CPUs and the quotas.
func usable(host int, quotas []bound) float64 {
	least := float64(host)
	for _, b := range quotas {
		least = min(least, b.limit)
	}
	return least
}

// cpus is how many of the host's CPUs our affinity allows.
func (r roots) cpus() int {
	if !r.moved() {
		return runtime.NumCPU()
	}
	text, _ := os.ReadFile(path.Join(r.proc, "stat"))
	var names []string
	for line := range strings.Lines(string(text)) {
		name, _, _ := strings.Cut(line, " ")
		if _, ok := cpuNumber(name); ok {
			names = append(names, name)
		}
	}
	return len(affinity().of(r, names))
}

// cpuNumber is the 7 of cpu7.
func cpuNumber(name string) (int, bool) {
	digits, ok := strings.CutPrefix(name, "cpu")
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil
}

// allowed is the CPUs that our affinity allows.
type allowed struct {
	n          int // 0: not known
	isSet      func(int) bool
	restricted func() bool // are they fewer than the machine has?
}

// of returns which of the host's CPUs are ours. A list of CPUs that is no longer than
// ours was made for us (lxcfs numbers a container's CPUs from 0), so all of them are
// ours. They are also all ours when none has a number of ours. Under another root our
// affinity counts only when it leaves out a CPU of the machine we run on: a made-up
// machine may have more CPUs than that.
func (a allowed) of(r roots, names []string) []string {
	if a.n == 0 || len(names) <= a.n || r.moved() && !a.restricted() {
		return names
	}
	var ours []string
	for _, name := range names {
		if n, ok := cpuNumber(name); ok && a.isSet(n) {
			ours = append(ours, name)
		}
	}
	if ours == nil {
		return names
	}
	return ours
}
