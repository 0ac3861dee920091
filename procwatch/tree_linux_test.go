package procwatch_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"berth/procwatch"
)

// field returns field n of a process's stat; the programs of these tests have
// no blanks in their names.
func field(t *testing.T, pid string, n int) string {
	t.Helper()
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return ""
	}
	return string(bytes.Fields(b)[n-1])
}

func parentOf(t *testing.T, pid string) int {
	t.Helper()
	n, _ := strconv.Atoi(field(t, pid, 4))
	return n
}

func childrenOf(t *testing.T, pid int) []int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		t.Skip(err)
	}
	var list []int
	for _, word := range bytes.Fields(b) {
		n, _ := strconv.Atoi(string(word))
		list = append(list, n)
	}
	return list
}

// cpuTime is what this process has used so far, in ms.
func cpuTime(t *testing.T) int64 {
	t.Helper()
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		t.Fatal(err)
	}
	return (ru.Utime.Nano() + ru.Stime.Nano()) / int64(time.Millisecond)
}

func elapsed(ms int) func() bool {
	end := time.Now().Add(time.Duration(ms) * time.Millisecond)
	return func() bool { return time.Now().After(end) }
}

func TestIdentifySelf(t *testing.T) {
	a, err := procwatch.Self()
	if err != nil {
		t.Fatal(err)
	}
	b, err := procwatch.Identify(os.Getpid())
	if err != nil || a != b {
		t.Errorf("Identify says %+v %v, Self %+v", b, err, a)
	}
	if want := field(t, "self", 22); strconv.FormatUint(a.Start, 10) != want {
		t.Errorf("start %d, want %s", a.Start, want)
	}
	if a.Boot == "" || a.PIDNS == 0 || a.Host == "" {
		t.Errorf("not complete: %+v", a)
	}
	if s := a.State(); s != procwatch.Alive {
		t.Errorf("state %v", s)
	}
}

func TestSelfAndAncestorsOfAChild(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	c := start(t, as("self"), self(), out)
	exit(t, c)
	me, err := procwatch.Self()
	if err != nil {
		t.Fatal(err)
	}
	mine, err := procwatch.Ancestors()
	if err != nil {
		t.Fatal(err)
	}
	id := c.ID()
	want := []string{fmt.Sprint(id.PID), fmt.Sprint(id.Start), "<nil>", "<nil>"}
	for _, a := range append([]procwatch.ID{me}, mine...) {
		want = append(want, fmt.Sprint(a.PID), fmt.Sprint(a.Start))
	}
	if got := lines(out); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestZombieIsGone(t *testing.T) {
	pid, err := syscall.ForkExec("/bin/true", []string{"true"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Wait4(pid, nil, 0, nil)
	id, err := procwatch.Identify(pid)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "it is a zombie", func() bool { return field(t, strconv.Itoa(pid), 3) == "Z" })
	if s := id.State(); s != procwatch.Gone {
		t.Errorf("state %v", s)
	}
}

func TestTreeUsage(t *testing.T) {
	c := start(t, nil, "/bin/sh", "-c", "sleep 1000 & sleep 1000 & sleep 1000 & wait")
	var u procwatch.Usage
	until(t, "four processes", func() bool {
		u = usage(t, c.ID())
		return u.Procs == 4
	})
	if u.RSS < 4*100<<10 || u.RSS > 1<<30 {
		t.Errorf("RSS of %d bytes", u.RSS)
	}
	all, err := procwatch.TreeUsages(procwatch.Tree{ID: c.ID()}, procwatch.Tree{ID: c.ID(), Below: true})
	if err != nil || all[procwatch.Tree{ID: c.ID()}].Anon < 4*16<<10 || all[procwatch.Tree{ID: c.ID()}].Anon >= u.RSS {
		t.Errorf("%+v, %v: want memory that no file backs, of %d bytes", all, err, u.RSS)
	}
	if with, below := all[procwatch.Tree{ID: c.ID()}], all[procwatch.Tree{ID: c.ID(), Below: true}]; below.Anon == 0 || below.Anon >= with.Anon {
		t.Errorf("%d bytes below the shell, %d with it", below.Anon, with.Anon)
	}
	stale := c.ID()
	stale.Start++
	self, err := procwatch.Self()
	if err != nil {
		t.Fatal(err)
	}
	if all, err := procwatch.TreeUsage(stale, self, c.ID()); err != nil || len(all) != 2 || all[c.ID()].Procs != 4 || all[self].Procs < 5 {
		t.Errorf("%+v, %v: want two, without the one that is gone", all, err)
	}
	if c.ID().Dir() == "" || stale.Dir() != "" {
		t.Errorf("directory %q, and %q of a process that is gone", c.ID().Dir(), stale.Dir())
	}
	if all, err := procwatch.TreeUsages(procwatch.Tree{ID: stale}); err != nil || len(all) > 0 {
		t.Errorf("%+v, %v for a process that is gone", all, err)
	}
}

// CPU that a finished child has used is the tree's: of a build, that is nearly
// all there is.
func TestTreeUsageCountsFinishedChildren(t *testing.T) {
	c := start(t, nil, "/bin/sh", "-c", `sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done'; sleep 1000`)
	until(t, "CPU time is seen after its user has ended", func() bool {
		u := usage(t, c.ID())
		kids := childrenOf(t, c.ID().PID)
		return u.CPU >= 20*time.Millisecond && len(kids) == 1 && comm(kids[0]) == "sleep\n"
	})
}

func usage(t *testing.T, id procwatch.ID) procwatch.Usage {
	t.Helper()
	all, err := procwatch.TreeUsage(id)
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	return all[id]
}

func comm(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return string(b)
}
