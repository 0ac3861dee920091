package limiter

import (
	"io/fs"
	"math"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"
)

// CPUs is how many CPUs this process may keep busy: its affinity, and below
// that the smallest quota of its control group and the groups above it
// (rounded up). Not runtime.GOMAXPROCS(0), which an environment variable
// changes and which never goes below 2 for a quota.
func CPUs() int {
	return max(1, min(runtime.NumCPU(), quota(os.DirFS("/"))))
}

// quota reads the CPU quota of both versions of control groups; a machine can
// mount them side by side. No quota, or none that can be read: MaxInt.
func quota(root fs.FS) int {
	best := math.Inf(1)
	text, _ := fs.ReadFile(root, "proc/self/cgroup")
	for line := range strings.Lines(string(text)) {
		// "0::/a/b" is version 2, "4:cpu,cpuacct:/a/b" version 1
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		switch {
		case f[1] == "":
			for _, mount := range []string{"sys/fs/cgroup", "sys/fs/cgroup/unified"} {
				best = min(best, climb(root, mount, f[2], quotaV2))
			}
		case strings.Contains(","+f[1]+",", ",cpu,"):
			for _, mount := range []string{"sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct"} {
				best = min(best, climb(root, mount, f[2], quotaV1))
			}
		}
	}
	if math.IsInf(best, 1) {
		return math.MaxInt
	}
	return int(math.Ceil(best))
}

// climb returns the smallest quota of a group and those above it.
func climb(root fs.FS, mount, group string, read func(fs.FS, string) float64) float64 {
	best := math.Inf(1)
	for g := path.Clean("/" + group); ; g = path.Dir(g) {
		best = min(best, read(root, path.Join(mount, g)))
		if g == "/" {
			return best
		}
	}
}

func quotaV2(root fs.FS, dir string) float64 {
	b, _ := fs.ReadFile(root, path.Join(dir, "cpu.max")) // "max 100000" or "150000 100000"
	f := strings.Fields(string(b))
	if len(f) != 2 {
		return math.Inf(1)
	}
	return ratio(f[0], f[1])
}

func quotaV1(root fs.FS, dir string) float64 {
	q, _ := fs.ReadFile(root, path.Join(dir, "cpu.cfs_quota_us")) // -1: none
	p, _ := fs.ReadFile(root, path.Join(dir, "cpu.cfs_period_us"))
	return ratio(strings.TrimSpace(string(q)), strings.TrimSpace(string(p)))
}

func ratio(quota, period string) float64 {
	q, err1 := strconv.ParseFloat(quota, 64)
	p, err2 := strconv.ParseFloat(period, 64)
	if err1 != nil || err2 != nil || q <= 0 || p <= 0 {
		return math.Inf(1)
	}
	return q / p
}
