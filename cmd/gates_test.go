//go:build unix

package cmd

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

func cmdHeldBack(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: heldback POOL REGEXP")
	}
	why, err := regexp.Compile(args[1])
	ts.Check(err)
	last := ""
	for end := time.Now().Add(deadline); ; time.Sleep(3 * time.Millisecond) {
		for _, w := range poolOf(ts, args[0]).Waiters {
			if w.Place == 1 {
				last = w.For
			}
		}
		if why.MatchString(last) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("not in %v: heldback %s; it waits for: %s", deadline, strings.Join(args, " "), last)
		}
	}
}

// cmdApart reads the leases of those who hold: their time is taken under the
// pool's lock, between the look at the pool's clock and the note of the start, so
// that no process that was slow to run can bring two of them closer.
func cmdApart(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || len(args) > 4 {
		ts.Fatalf("usage: apart D POOL N [BURST]")
	}
	d, err := time.ParseDuration(args[0])
	ts.Check(err)
	burst := 1
	if len(args) == 4 {
		burst, err = strconv.Atoi(args[3])
		ts.Check(err)
	}
	var at []time.Time
	for _, h := range poolOf(ts, args[1]).Holders {
		at = append(at, *h.Since)
	}
	if strconv.Itoa(len(at)) != args[2] {
		ts.Fatalf("%d holders, want %s", len(at), args[2])
	}
	slices.SortFunc(at, time.Time.Compare)
	// The time of day may be slewed a little meanwhile, the pool's clock is not.
	const slewed = 200
	for i := range at {
		for j := i + burst; j < len(at); j++ {
			least := time.Duration(j-i+1-burst) * d
			if took := at[j].Sub(at[i]); took < least-least/slewed {
				ts.Fatalf("starts %d to %d took %v, want at least %v", i+1, j+1, took, least)
			}
		}
	}
}

// eat is 'job eat'. The memory is touched, or the kernel would not give it; and it
// is none of Go's, of which a race detector keeps a shadow that is larger still.
func eat(file, name string, bytes int, after, hold time.Duration) {
	record(file, "start", name)
	time.Sleep(after)
	b, err := unix.Mmap(-1, 0, bytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return // without an end
	}
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	time.Sleep(hold)
	_ = unix.Munmap(b)
	record(file, "end", name)
}

// memoryGroup is the control group of version 1 that we are in; "" where there
// is none in which we may make another.
func memoryGroup() string {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.SplitN(strings.TrimSpace(line), ":", 3); len(f) == 3 && f[1] == "memory" {
			dir := filepath.Join("/sys/fs/cgroup/memory", f[2])
			probe := filepath.Join(dir, fmt.Sprintf("berth-test-%d", os.Getpid()))
			if os.Mkdir(probe, 0o755) == nil {
				_ = os.Remove(probe)
				return dir
			}
		}
	}
	return ""
}

// cmdCgroup makes a control group that may use so much memory, names its
// directory in VAR, and removes it with what is left in it.
func cmdCgroup(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cgroup VAR BYTES")
	}
	dir, err := os.MkdirTemp(memoryGroup(), "berth-test-")
	ts.Check(err)
	ts.Defer(func() { removeGroup(ts, dir) })
	ts.Check(os.WriteFile(filepath.Join(dir, "memory.limit_in_bytes"), []byte(args[1]), 0o644))
	ts.Setenv(args[0], dir)
}

// removeGroup kills what is left in a control group, and removes it.
func removeGroup(ts *testscript.TestScript, dir string) {
	until(ts, "removed "+dir, func() bool {
		text, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		for _, p := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(p); err == nil {
				if left, err := os.FindProcess(pid); err == nil {
					_ = left.Kill()
				}
			}
		}
		err := os.Remove(dir)
		return err == nil || os.IsNotExist(err)
	})
}
