package procwatch

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// /proc is read here and not through gopsutil: that follows HOST_PROC, which a
// container sets to read that of its host, where our pids are other processes.

// isSubreaper: a descendant that loses its parent becomes our child.
const isSubreaper = true

// thisSystem is the part of an ID that all processes of this namespace share. It does not
// change while we run, except for the host name, of which the first counts.
var thisSystem = sync.OnceValues(func() (ID, error) {
	// A /proc of another pid namespace shows other processes under our pids.
	if pid, err := os.Readlink("/proc/self"); err != nil {
		return ID{}, err
	} else if pid != strconv.Itoa(os.Getpid()) {
		return ID{}, &NoProcError{fmt.Sprintf("/proc belongs to another pid namespace: we are pid %s there and %d here", pid, os.Getpid())}
	}
	boot, err := readFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ID{}, err
	}
	var ns unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &ns); err != nil {
		return ID{}, &os.PathError{Op: "stat", Path: "/proc/self/ns/pid", Err: err}
	}
	host, err := os.Hostname()
	return ID{Boot: strings.TrimSpace(string(boot)), PIDNS: ns.Ino, Host: host}, err
})

// Self names the calling process.
func Self() (ID, error) {
	id, err := Identify(os.Getpid())
	if err != nil {
		if _, none := os.Readlink("/proc/self"); errors.Is(none, os.ErrNotExist) {
			err = &NoProcError{"there is no /proc here"}
		}
	}
	return id, err
}

// readProcess returns the process that has pid now, or os.ErrProcessDone if there is none.
func readProcess(pid int) (proc, error) {
	if pid < 1 {
		return proc{}, fmt.Errorf("%d is no pid", pid)
	}
	p, err := readStat(strconv.Itoa(pid))
	if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ESRCH) {
		return p, err
	}
	// With hidepid, or without any /proc, a living process seems not to exist. To call
	// it gone would give its slot away.
	if probe := unix.Kill(pid, 0); probe != unix.ESRCH && errors.Is(err, os.ErrNotExist) {
		return proc{}, fmt.Errorf("/proc does not show pid %d: %w", pid, unix.EACCES)
	}
	return proc{}, os.ErrProcessDone
}

func readStat(pid string) (proc, error) {
	line, err := readFile("/proc/" + pid + "/stat")
	if err != nil {
		return proc{}, err
	}
	return parseStat(line)
}

// readFile reads a small file of /proc, which gives its whole content to one
// read. os.ReadFile takes three times as long, and every start calls Self.
func readFile(name string) ([]byte, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	buf := make([]byte, 4096)
	n, err := unix.Read(fd, buf)
	if err != nil {
		return nil, &os.PathError{Op: "read", Path: name, Err: err}
	}
	return buf[:n], nil
}

// scan reads the process table. Processes come and go while it reads, so the table is not
// a snapshot: callers scan again until nothing changes.
func scan() ([]proc, error) {
	if _, err := thisSystem(); err != nil {
		return nil, err
	}
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var table []proc
	for _, name := range names {
		if name[0] < '0' || name[0] > '9' {
			continue
		}
		// A process that has ended, or that may not be read, is left out.
		switch p, err := readStat(name); {
		case err == nil:
			table = append(table, p)
		case isShortage(err):
			return nil, err // it would be taken for a process that has ended
		}
	}
	return table, nil
}

// StartedWith finds a living process whose environment at the start is accepted by is, which
// gets the entries ("NAME=value") that begin with prefix, as far as we may read them. Of several
// it returns one of the oldest, so that the others are likely to be its descendants. It reads
// the whole process table. What a process changes in its environment after the start does not
// show.
func StartedWith(prefix string, is func(env []string) bool) (oldest ID, ok bool) {
	names, err := os.ReadDir("/proc")
	if err != nil {
		return ID{}, false
	}
	for _, n := range names {
		if n.Name()[0] < '0' || n.Name()[0] > '9' {
			continue
		}
		// A zombie's is empty.
		pid, _ := strconv.Atoi(n.Name())
		if !(ID{PID: pid}).StartedWith(prefix, is) {
			continue
		}
		if id, err := Identify(pid); err == nil && (!ok || id.Start < oldest.Start) {
			oldest, ok = id, true
		}
	}
	return oldest, ok
}

// StartedWith reports whether the environment of this process at its start is accepted by is,
// which gets the entries ("NAME=value") that begin with prefix, as far as we may read them.
func (id ID) StartedWith(prefix string, is func(env []string) bool) bool {
	return is(environ(id.PID, prefix))
}

// StartedBy lists the living processes whose real user is uid and whose environment at
// the start is accepted by is, which gets the entries that begin with prefix. Processes
// that we may not read are left out.
func StartedBy(uid int, prefix string, is func(env []string) bool) (list []ID, err error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		// Identified first: if the ID is still right when it is used, all of this was true
		// of that process.
		id, err := Identify(pid)
		if err == nil && realUser(pid) == uid && is(environ(pid, prefix)) {
			list = append(list, id)
		}
	}
	return list, err
}

// environ lists the entries with that prefix of the environment that a process was
// started with, as far as we may read it.
//
// A process may tell the kernel (PR_SET_MM) that its environment is any part of its
// memory, so what is read is bounded, and not kept. A real environment has less
// than 6 MB.
func environ(pid int, prefix string) (found []string) {
	f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return nil
	}
	defer f.Close()
	r := bufio.NewReaderSize(io.LimitReader(f, mostEnviron), 16<<10)
	for whole := true; len(found) < mostEntries; {
		e, err := r.ReadSlice(0)
		if whole && bytes.HasPrefix(e, []byte(prefix)) && err == nil {
			found = append(found, string(e[:len(e)-1]))
		}
		whole = err == nil // else the rest of a long entry comes next
		if err != nil && err != bufio.ErrBufferFull {
			break
		}
	}
	return found
}

const (
	mostEnviron = 8 << 20
	mostEntries = 1000 // of a prefix
)

// User is the real user of the process, false where it cannot be read.
func (id ID) User() (uid int, ok bool) {
	uid = realUser(id.PID)
	return uid, uid >= 0 && id.State() != Gone
}

// realUser is -1 where it cannot be read. The owner of /proc/PID is the effective user, or
// root.
func realUser(pid int) int {
	status, _ := readFile("/proc/" + strconv.Itoa(pid) + "/status")
	for line := range strings.Lines(string(status)) {
		if ids, ok := strings.CutPrefix(line, "Uid:"); ok {
			if uid, err := strconv.Atoi(strings.Fields(ids)[0]); err == nil {
				return uid
			}
		}
	}
	return -1
}

// Mark gives this process a mark that other processes can see, see Marked. It ends with
// the process. A name may have 200 bytes.
func Mark(name string) error {
	_, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	return err
}

// Marked reports whether this process has called Mark with that name, as far as we may
// read its descriptors. No other process can do that for it. The pid may have been
// reused since: call State afterwards.
func (id ID) Marked(name string) bool {
	dir := "/proc/" + strconv.Itoa(id.PID) + "/fd/"
	fds, _ := os.ReadDir(dir)
	return slices.ContainsFunc(fds, func(fd os.DirEntry) bool {
		leads, err := os.Readlink(dir + fd.Name())
		return err == nil && leads == "/memfd:"+name+" (deleted)"
	})
}

// children lists the orphans that became our children, newest last, and none where the
// kernel has no such list (CONFIG_PROC_CHILDREN). The kernel gives orphans to the
// first thread; the command itself may be a child of the thread that forked it.
func children() []int {
	pid := strconv.Itoa(os.Getpid())
	// Not readFile: the list may be longer than one read.
	list, _ := os.ReadFile("/proc/self/task/" + pid + "/children")
	var pids []int
	for _, word := range strings.Fields(string(list)) {
		if n, err := strconv.Atoi(word); err == nil {
			pids = append(pids, n)
		}
	}
	return pids
}

// signalExactly opens a pidfd before it reads the process. A pidfd refers to one process
// for good, so if the start time is right after that, the signal reaches the right one.
func signalExactly(p proc, sig syscall.Signal) error {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err != nil {
		return signalChecked(p, sig)
	}
	defer unix.Close(fd)
	if now, err := readProcess(p.pid); err != nil || now.start != p.start {
		return err
	}
	err = unix.PidfdSendSignal(fd, sig, nil, 0)
	if err != nil && err != unix.ESRCH {
		// A sandbox that does not know the call says EPERM, too; only kill tells whether
		// we may not signal this process.
		return signalChecked(p, sig)
	}
	return err
}

// watch waits until there is something to collect.
type watch struct{}

// newWatch makes us the process that gets all orphans of the tree, and returns the
// children that we have already: those of a shell that ran "exec" with jobs in the
// background. Their later orphans cannot be told from ours.
func newWatch() (watch, map[key]bool, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return watch{}, nil, err
	}
	if unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil) == unix.ECHILD {
		return watch{}, nil, nil
	}
	table, err := scan()
	inherited := map[key]bool{}
	for _, p := range table {
		if p.ppid == os.Getpid() && !sides.has(p.key) {
			inherited[p.key] = true
		}
	}
	return watch{}, inherited, err
}

// wait blocks until a child has changed, without taking the change.
func (watch) wait() {
	for unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WSTOPPED|unix.WCONTINUED|unix.WNOWAIT, nil) == unix.EINTR {
	}
}

func (watch) stop() {}

// waitPID is what wait4 waits for: any child.
func waitPID(int) int { return -1 }
