package gate

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// controller is how a resource of control groups is read. On systems without
// them there is no self/cgroup, and so no group.
type controller struct {
	name   string
	mounts []string // where version 1 is mounted, besides the name in self/cgroup
	v1, v2 limitFile
}

type limitFile struct {
	read   func(dir string) (float64, error) // +Inf: none
	beside string                            // a file that every group with this controller has next to it
}

var (
	cpuGroup = controller{
		name: "cpu", mounts: []string{"cpu", "cpu,cpuacct", "cpuacct,cpu"},
		v1: limitFile{quotaV1, "cpu.shares"}, v2: limitFile{quotaV2, "cpu.weight"},
	}
	memGroup = controller{
		name: "memory", mounts: []string{"memory"},
		v1: limitFile{limitIn("memory.limit_in_bytes"), "memory.usage_in_bytes"}, v2: limitFile{limitIn("memory.max"), "memory.current"},
	}
)

// bound is a control group of ours with a limit.
type bound struct {
	version int
	group   string // as our mount has it
	dir     string
	limit   float64
}

func (b bound) of() string { return fmt.Sprintf("cgroup v%d %s", b.version, b.group) }

// found is our groups that have a limit, outer groups first.
type found struct {
	bounds []bound
	// doubt says that a group looks as if it were being made or removed right now. If
	// that stays so, it is how this machine is.
	doubt string
}

// bounds finds the limits in both versions, which can be mounted side by side. With an
// error it returns those that could be read.
func (r roots) bounds(c controller) (found, error) {
	var f found
	text, err := os.ReadFile(path.Join(r.proc, "self/cgroup"))
	if err != nil {
		if vanished(err) {
			f.doubt, err = err.Error(), nil
		}
		return f, err
	}
	for line := range strings.Lines(string(text)) {
		// "0::/a/b" is version 2, "4:cpu,cpuacct:/a/b" version 1.
		w := strings.SplitN(strings.TrimRight(line, "\n"), ":", 3)
		if len(w) == 3 && (w[1] == "" || slices.Contains(strings.Split(w[1], ","), c.name)) {
			err = errors.Join(err, r.climb(&f, c, w[1], w[2]))
		}
	}
	return f, err
}

// climb reads the limits of a group and those above it, up to the root of the
// mount. A container can be told of a path that is not below its mount; then
// the root is its own group, and the directories on the way do not exist.
func (r roots) climb(f *found, c controller, controllers, group string) error {
	version, limit, mount := 2, c.v2, r.mount("unified", "")
	if controllers != "" {
		version, limit, mount = 1, c.v1, r.mount(append([]string{controllers}, c.mounts...)...)
	}
	group = path.Clean("/" + group)
	if dir := path.Join(mount, group); !exists(dir) {
		f.doubt = dir + " is not there"
	}
	var ours []bound
	var errs error
	for g := group; ; g = path.Dir(g) {
		dir := path.Join(mount, g)
		v, err := limit.read(dir)
		switch {
		case err == nil && v < none:
			ours = append(ours, bound{version, g, dir, v})
		case err != nil && !vanished(err):
			errs = errors.Join(errs, err)
		case err != nil && g != "/" && exists(path.Join(dir, limit.beside)):
			f.doubt = dir + " has lost its limit"
		}
		if g == "/" {
			slices.Reverse(ours)
			f.bounds = append(f.bounds, ours...)
			return errs
		}
	}
}

// mount returns the first of these directories that exists below the one for control
// groups, or the last.
func (r roots) mount(names ...string) string {
	var dir string
	for _, n := range names {
		if dir = path.Join(r.sys, "fs/cgroup", n); exists(dir) {
			break
		}
	}
	return dir
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// none is what a limit that is not set reads as.
var none = math.Inf(1)

func quotaV2(dir string) (float64, error) {
	f, err := fields(path.Join(dir, "cpu.max"), 2) // "max 100000" or "150000 100000"
	if err != nil || f[0] == "max" {
		return none, err
	}
	return ratio(dir, f[0], f[1])
}

func quotaV1(dir string) (float64, error) {
	q, err := fields(path.Join(dir, "cpu.cfs_quota_us"), 1)
	if err != nil || strings.HasPrefix(q[0], "-") {
		return none, err
	}
	p, err := fields(path.Join(dir, "cpu.cfs_period_us"), 1)
	if err != nil {
		return none, err
	}
	return ratio(dir, q[0], p[0])
}

func ratio(dir, quota, period string) (float64, error) {
	q, err1 := strconv.ParseUint(quota, 10, 63)
	p, err2 := strconv.ParseUint(period, 10, 63)
	if err1 != nil || err2 != nil || q == 0 || p == 0 {
		return none, fmt.Errorf("%s has a CPU quota of %q in %q, which is no number", dir, quota, period)
	}
	return float64(q) / float64(p), nil
}

func limitIn(name string) func(dir string) (float64, error) {
	return func(dir string) (float64, error) {
		file := path.Join(dir, name)
		f, err := fields(file, 1)
		if err != nil || f[0] == "max" || f[0] == "-1" {
			return none, err
		}
		bytes, err := strconv.ParseUint(f[0], 10, 64)
		if err != nil {
			return none, fmt.Errorf("%s has %q for a limit", file, f[0])
		}
		return float64(bytes), nil
	}
}

// fields reads a file that has n words. An empty file is an error: its writer may be
// between truncating and writing it.
func fields(file string, n int) ([]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	f := strings.Fields(string(text))
	if len(f) != n {
		return nil, fmt.Errorf("%s has %d words, and not %d", file, len(f), n)
	}
	return f, nil
}

// inUse is the memory of a group that cannot be taken back: anonymous and
// shared. Page cache can.
func (b bound) inUse() (uint64, error) {
	file := path.Join(b.dir, "memory.stat")
	stat, err := table(file)
	if err != nil {
		return 0, err
	}
	anon, shared := "anon", "shmem"
	if b.version == 1 {
		// The plain names leave out the groups below.
		if anon, shared = "total_rss", "total_shmem"; !has(stat, anon) {
			anon, shared = "rss", "shmem"
		}
	}
	if !has(stat, anon) {
		return 0, fmt.Errorf("%s has no %s", file, anon)
	}
	if stat[anon] > math.MaxInt64 || stat[shared] > math.MaxInt64 {
		return 0, fmt.Errorf("%s has more memory in use than there can be", file)
	}
	return stat[anon] + stat[shared], nil // shmem came to version 1 with Linux 4.8
}

// busy is the CPU time of a group. Version 1 counts it in a controller of its
// own, which can be mounted elsewhere.
func (b bound) busy(r roots) (time.Duration, error) {
	if b.version == 2 {
		file := path.Join(b.dir, "cpu.stat")
		stat, err := table(file)
		if err == nil && !has(stat, "usage_usec") {
			err = fmt.Errorf("%s has no usage_usec", file)
		}
		return time.Duration(stat["usage_usec"]) * time.Microsecond, err
	}
	file := path.Join(b.dir, "cpuacct.usage")
	if !exists(file) {
		file = path.Join(r.mount("cpuacct", "cpuacct,cpu", "cpu,cpuacct"), b.group, "cpuacct.usage")
	}
	f, err := fields(file, 1)
	if err != nil {
		return 0, err
	}
	ns, err := strconv.ParseInt(f[0], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s has %q for a time", file, f[0])
	}
	return time.Duration(ns), nil
}

// table reads lines of a name and a number; others are not for us.
func table(file string) (map[string]uint64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	t := map[string]uint64{}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 2 {
			if v, err := strconv.ParseUint(f[1], 10, 64); err == nil {
				t[f[0]] = v
			}
		}
	}
	return t, nil
}

func has(t map[string]uint64, name string) bool {
	_, ok := t[name]
	return ok
}
