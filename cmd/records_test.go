//go:build unix

package cmd

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

// jobRecord is a line that 'job record' wrote.
type jobRecord struct {
	what, name string
	slots      int
	at         int64
}

func readRecords(file string) ([]jobRecord, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var out []jobRecord
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) != 4 {
			return nil, errors.New("not a record: " + line)
		}
		at, err := strconv.ParseInt(f[3], 10, 64)
		if err != nil {
			return nil, err
		}
		out = append(out, jobRecord{f[0], f[1], 1 + strings.Count(f[2], ","), at})
	}
	return out, nil
}

func cmdAtMost(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: atmost N FILE [NAME]")
	}
	during := func(running map[string]bool) bool {
		for name := range running {
			if len(args) == 2 || strings.HasPrefix(name, args[2]) {
				return true
			}
		}
		return false
	}
	limit, err := strconv.Atoi(args[0])
	ts.Check(err)
	records, err := readRecords(ts.MkAbs(args[1]))
	ts.Check(err)
	inUse, most, running := 0, 0, map[string]bool{}
	for _, r := range byTime(records) {
		if r.what == "start" {
			inUse += r.slots
			running[r.name] = true
		} else {
			inUse -= r.slots
			delete(running, r.name)
		}
		if during(running) {
			most = max(most, inUse)
		}
	}
	if most > limit {
		ts.Fatalf("%d slots in use at once, limit %d", most, limit)
	}
	if len(running) > 0 {
		ts.Fatalf("%d jobs did not end: %v", len(running), running)
	}
	ts.Logf("at most %d of %d at once, %d records", most, limit, len(records))
}

func cmdOrder(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: order FILE NAME...")
	}
	records, err := readRecords(ts.MkAbs(args[0]))
	ts.Check(err)
	var got []string
	for _, r := range byTime(records) {
		if r.what == "start" {
			got = append(got, r.name)
		}
	}
	if want := strings.Join(args[1:], " "); strings.Join(got, " ") != want {
		ts.Fatalf("started in the order %s, want %s", strings.Join(got, " "), want)
	}
}

// byTime sorts by the jobs' own clock; an end before a start at the same
// instant.
func byTime(r []jobRecord) []jobRecord {
	sortStable(r, func(a, b jobRecord) bool {
		if a.at != b.at {
			return a.at < b.at
		}
		return a.what == "end" && b.what == "start"
	})
	return r
}

func sortStable(r []jobRecord, less func(a, b jobRecord) bool) {
	slices.SortStableFunc(r, func(a, b jobRecord) int {
		switch {
		case less(a, b):
			return -1
		case less(b, a):
			return 1
		}
		return 0
	})
}

// processGone takes a zombie for gone: its parent is the test's business.
func processGone(pid int) bool {
	if err := syscall.Kill(pid, 0); err != nil {
		return err == syscall.ESRCH
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return os.IsNotExist(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return strings.HasPrefix(rest, "Z") || strings.HasPrefix(rest, "X")
}
