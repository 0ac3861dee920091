package procwatch

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"
)

// tick is the unit of times in /proc/PID/stat. The kernel keeps USER_HZ at 100
// whatever its own HZ is, on every architecture that Go runs on.
const tick = time.Second / 100

// Positions after the command name, so field 3 of proc_pid_stat(5) is 0.
const (
	statState     = 0
	statPPID      = 1
	statFlags     = 6
	statCPU       = 11 // utime, stime, cutime, cstime
	statThreads   = 17
	statStarttime = 19
	statRSS       = 21
)

var pageSize = uint64(os.Getpagesize())

// pfExiting is PF_EXITING of the kernel's sched.h. It is set before a process
// closes its files, and the first thread is never the last to have it.
const pfExiting = 0x4

// parseStat reads one line of /proc/PID/stat. The command's name may contain blanks,
// newlines and parentheses, but nothing after it can, so the last parenthesis ends it.
func parseStat(line []byte) (proc, error) {
	open, end := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return proc{}, fmt.Errorf("no command name in %q", line)
	}
	fields := bytes.Fields(line[end+1:])
	if len(fields) <= statRSS || len(fields[statState]) != 1 {
		return proc{}, fmt.Errorf("%d fields after the name in %q", len(fields), line)
	}
	r := numbers{}
	p := proc{
		key:     key{r.natural(bytes.TrimSpace(line[:open])), r.count(fields[statStarttime])},
		state:   fields[statState][0],
		ppid:    r.natural(fields[statPPID]),
		exiting: r.count(fields[statFlags])&pfExiting != 0,
		threads: r.natural(fields[statThreads]),
	}
	for _, f := range fields[statCPU : statCPU+4] {
		p.cpu += time.Duration(max(r.signed(f), 0)) * tick
	}
	p.rss = uint64(max(r.signed(fields[statRSS]), 0)) * pageSize
	if r.err != nil {
		return proc{}, fmt.Errorf("%w in %q", r.err, line)
	}
	return p, nil
}

// numbers keeps the first error, so that fields can be read in one expression.
type numbers struct{ err error }

func (r *numbers) signed(b []byte) int64 {
	n, err := strconv.ParseInt(string(b), 10, 64)
	r.keep(err)
	return n
}

func (r *numbers) count(b []byte) uint64 {
	n, err := strconv.ParseUint(string(b), 10, 64)
	r.keep(err)
	return n
}

func (r *numbers) natural(b []byte) int {
	n, err := strconv.ParseUint(string(b), 10, 31)
	r.keep(err)
	return int(n)
}

func (r *numbers) keep(err error) {
	if r.err == nil {
		r.err = err
	}
}

// dead reports whether the process only waits to be collected. The first thread of a
// program may end before the others: that shows as a zombie, and still works.
func (p proc) dead() bool {
	return p.state == 'X' || p.state == 'x' || p.state == 'Z' && p.threads <= 1
}

// stopped includes the stop under a debugger.
func (p proc) stopped() bool { return p.state == 'T' || p.state == 't' }

// usage comes from the same read as everything else.
func (p proc) usage() (time.Duration, uint64) { return p.cpu, p.rss }

// anon is the memory that no file backs, each page divided by the number of processes that
// share it: a program that forks does not use its memory twice. Where that cannot be read
// (another user's process, before Linux 5.9), all that is resident of it counts.
func (p proc) anon() uint64 {
	dir := fmt.Sprintf("/proc/%d/", p.pid)
	if n, ok := sumOf(dir+"smaps_rollup", "Pss_Anon", "Pss_Shmem"); ok {
		return n
	}
	n, _ := sumOf(dir+"status", "RssAnon", "RssShmem")
	return n
}

// sumOf adds up lines like "RssAnon:    1234 kB", in bytes. It is false if there are none.
func sumOf(file string, names ...string) (sum uint64, found bool) {
	b, _ := readFile(file)
	for line := range bytes.Lines(b) {
		name, rest, _ := bytes.Cut(line, []byte(":"))
		if f := bytes.Fields(rest); len(f) == 2 && slices.Contains(names, string(name)) {
			r := numbers{}
			sum, found = sum+r.count(f[0])<<10, true
		}
	}
	return sum, found
}
