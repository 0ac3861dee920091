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
	now := threads()
	f.Processes = append(pidsOfGroups(),
		Bound{"kernel.pid_max", number("/proc/sys/kernel/pid_max"), now},
		Bound{"kernel.threads-max", number("/proc/sys/kernel/threads-max"), now})
	var limit unix.Rlimit
	if os.Geteuid() != 0 && unix.Getrlimit(unix.RLIMIT_NPROC, &limit) == nil && limit.Cur < 1<<30 {
		f.Processes = append(f.Processes, Bound{"ulimit -u", int(limit.Cur), threadsOf(os.Getuid())})
	}
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		f.Files = int(min(limit.Cur, 1<<30))
	}
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

// threadsOf is how many threads of a user there are, as far as /proc shows them.
func threadsOf(uid int) (all int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		b, _ := os.ReadFile(dir + "/status")
		theirs, n := false, 0
		for line := range strings.Lines(string(b)) {
			switch w := strings.Fields(line); {
			case len(w) < 2:
			case w[0] == "Uid:":
				theirs = w[1] == strconv.Itoa(uid)
			case w[0] == "Threads:":
				n, _ = strconv.Atoi(w[1])
			}
		}
		if theirs {
			all += n
		}
	}
	return all
}

// pidsOfGroups are the bounds of the control groups that this process is in, of version 1 and 2.
func pidsOfGroups() (all []Bound) {
	b, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(b)) {
		w := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(w) < 3 || w[1] != "" && w[1] != "pids" {
			continue
		}
		for g := w[2]; filepath.IsAbs(g); g = filepath.Dir(g) {
			at := filepath.Join("/sys/fs/cgroup", w[1], g)
			if most := number(filepath.Join(at, "pids.max")); most > 0 {
				all = append(all, Bound{"pids.max of " + g, most, number(filepath.Join(at, "pids.current"))})
			}
			if g == "/" {
				break
			}
		}
	}
	return all
}

// number is what a file of one number has, 0 for none.
func number(file string) int {
	b, _ := os.ReadFile(file)
	n, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return n
}
