//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	groupRoot  = "/sys/fs/cgroup"
	groupLimit = 2 << 30
)

// group is a memory control group of ours.
type group struct{ dir, peak, events string }

// errNoGroup is that we may not make one here.
var errNoGroup = errors.New("cannot make a control group with a memory limit")

// newGroup makes one below our own group, so that a limit that is already on us
// stays. In version 2 a group with processes in it cannot have one with a limit
// below it: there it is made beside ours.
func newGroup(name string) (*group, error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoGroup, err)
	}
	why := errors.New("no memory controller is mounted")
	for line := range strings.Lines(string(text)) {
		w := strings.SplitN(strings.TrimRight(line, "\n"), ":", 3)
		switch {
		case len(w) != 3:
			continue
		case w[1] == "memory":
			g := &group{path.Join(groupRoot, "memory", w[2], name), "memory.max_usage_in_bytes", "memory.oom_control"}
			if why = g.make("memory.limit_in_bytes"); why == nil {
				return g, nil
			}
		case w[1] == "":
			g := &group{path.Join(groupRoot, path.Dir(w[2]), name), "memory.peak", "memory.events"}
			if why = g.make("memory.max"); why == nil {
				return g, nil
			}
		}
	}
	return nil, fmt.Errorf("%w: %w", errNoGroup, why)
}

func (g *group) make(limit string) error {
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return err
	}
	err := os.WriteFile(filepath.Join(g.dir, limit), []byte(strconv.Itoa(groupLimit)), 0)
	if err == nil {
		// Without it there would be nothing to print, and swap would blur it.
		_, err = os.ReadFile(filepath.Join(g.dir, g.peak))
	}
	if err != nil {
		_ = unix.Rmdir(g.dir)
	}
	return err
}

// remove takes a moment after the last process in it has ended.
func (g *group) remove() error {
	var err error
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = unix.Rmdir(g.dir); err != unix.EBUSY {
			break
		}
	}
	if err != nil {
		return &os.PathError{Op: "rmdir", Path: g.dir, Err: err}
	}
	return nil
}

// most is the most memory that was in it, in bytes.
func (g *group) most() (float64, error) {
	text, err := os.ReadFile(filepath.Join(g.dir, g.peak))
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
}

// killed is how many processes of it the kernel has ended because its memory was used up.
func (g *group) killed() (int, error) {
	text, err := os.ReadFile(filepath.Join(g.dir, g.events))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
			return strconv.Atoi(strings.TrimSpace(n))
		}
	}
	return 0, fmt.Errorf("no oom_kill in %s of %s", g.events, g.dir)
}

// memoryBelow is the memory in bytes that no file backs of everything below us:
// what a limit would count, and what does not come back by itself.
func memoryBelow() float64 {
	below := map[int]bool{os.Getpid(): true}
	parents := parents()
	// A child can have a lower pid than its parent, so once is not enough.
	for more := true; more; {
		more = false
		for pid, parent := range parents {
			if below[parent] && !below[pid] {
				below[pid], more = true, true
			}
		}
	}
	delete(below, os.Getpid())
	pages := 0
	for pid := range below {
		text, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
		if f := strings.Fields(string(text)); len(f) > 2 {
			resident, _ := strconv.Atoi(f[1])
			shared, _ := strconv.Atoi(f[2])
			pages += resident - shared
		}
	}
	return float64(pages * os.Getpagesize())
}

// parents is the parent of each process that there is, by its pid.
func parents() map[int]int {
	all := map[int]int{}
	dirs, _ := os.ReadDir("/proc")
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		text, _ := os.ReadFile("/proc/" + d.Name() + "/stat")
		f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(f) > 1 {
			all[pid], _ = strconv.Atoi(f[1])
		}
	}
	return all
}

// pressure is how long some task has waited for a CPU since the machine began.
func pressure() (time.Duration, bool) {
	text, err := os.ReadFile("/proc/pressure/cpu")
	if err != nil {
		return 0, false
	}
	some, _, _ := strings.Cut(string(text), "\n")
	_, total, _ := strings.Cut(some, "total=")
	us, err := strconv.ParseInt(total, 10, 64)
	return time.Duration(us) * time.Microsecond, err == nil
}

// parallelSees is the memory that GNU parallel compares with --memfree.
func parallelSees() (bytes int) {
	text, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "MemFree:", "Buffers:", "Cached:", "SwapCached:":
			kib, _ := strconv.Atoi(f[1])
			bytes += kib * 1024
		}
	}
	return bytes
}
