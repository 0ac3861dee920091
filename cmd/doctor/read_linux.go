package doctor

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Read reads the limits of this machine. What it cannot read stays unknown.
func (f *Facts) Read() {
	f.Instances = number("/proc/sys/fs/inotify/max_user_instances")
	if fd, err := unix.InotifyInit1(unix.IN_CLOEXEC); err == nil {
		_ = unix.Close(fd)
	} else {
		f.HasNone = err
	}
	f.Processes = map[string]int{
		"kernel.pid_max":     number("/proc/sys/kernel/pid_max"),
		"kernel.threads-max": number("/proc/sys/kernel/threads-max"),
	}
	if group, most := tightestPids(); most > 0 {
		f.Processes["pids.max of "+group] = most
	}
	var limit unix.Rlimit
	if os.Geteuid() != 0 && unix.Getrlimit(unix.RLIMIT_NPROC, &limit) == nil && limit.Cur < 1<<30 {
		f.Processes["ulimit -u"] = int(limit.Cur)
	}
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		f.Files = int(min(limit.Cur, 1<<30))
	}
	f.Threads = threads()
}

// threads is how many processes and threads there are: "0.00 0.01 0.05 1/234 5678".
func threads() int {
	b, _ := os.ReadFile("/proc/loadavg")
	w := strings.Fields(string(b))
	if len(w) < 4 {
		return 0
	}
	_, all, _ := strings.Cut(w[3], "/")
	n, _ := strconv.Atoi(all)
	return n
}

// tightestPids is the control group of ours, in version 2, with the least pids.max.
func tightestPids() (group string, most int) {
	b, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(b)) {
		path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::")
		for g := path; ok && g != "/" && g != "."; g = filepath.Dir(g) {
			if n := number(filepath.Join("/sys/fs/cgroup", g, "pids.max")); n > 0 && (most == 0 || n < most) {
				group, most = g, n
			}
		}
	}
	return group, most
}

// number is what a file of one number has, 0 for none.
func number(file string) int {
	b, _ := os.ReadFile(file)
	n, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return n
}
