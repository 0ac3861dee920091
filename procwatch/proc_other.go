//go:build unix && !linux

package procwatch

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/shirou/gopsutil/v3/process"
)

// isSubreaper: here an orphan goes to init, so End follows the processes that it has
// seen, and a descendant that was orphaned before the first scan escapes.
const isSubreaper = false

// thisSystem has the host name only: there are no pid namespaces, and a start time on
// the wall clock tells one boot from another.
var thisSystem = sync.OnceValues(func() (ID, error) {
	host, err := os.Hostname()
	return ID{Host: host}, err
})

// Self names the calling process.
func Self() (ID, error) { return Identify(os.Getpid()) }

// readProcess returns the process that has pid now, or os.ErrProcessDone if there is none.
func readProcess(pid int) (proc, error) {
	if pid < 1 {
		return proc{}, fmt.Errorf("%d is no pid", pid)
	}
	if err := syscall.Kill(pid, 0); err == syscall.ESRCH {
		return proc{}, os.ErrProcessDone
	}
	return read(&process.Process{Pid: int32(pid)})
}

func read(p *process.Process) (proc, error) {
	start, err := p.CreateTime()
	if err != nil {
		return proc{}, err
	}
	ppid, err := p.Ppid()
	return proc{key: key{int(p.Pid), uint64(start)}, ppid: int(ppid)}, err
}

// scan leaves the state out: on darwin it takes a run of ps for each process.
func scan() ([]proc, error) {
	all, err := process.Pids()
	var table []proc
	for _, pid := range all {
		// A process that has ended is left out.
		if p, err := read(&process.Process{Pid: pid}); err == nil {
			table = append(table, p)
		}
	}
	return table, err
}

func (p proc) dead() bool    { return p.is(process.Zombie) }
func (p proc) stopped() bool { return p.is(process.Stop) }

func (p proc) is(status string) bool {
	list, err := (&process.Process{Pid: int32(p.pid)}).Status()
	if err != nil {
		_, err = readProcess(p.pid)
		return status == process.Zombie && errors.Is(err, os.ErrProcessDone)
	}
	return slices.Contains(list, status)
}

func (p proc) usage() (cpu time.Duration, rss uint64) {
	h := &process.Process{Pid: int32(p.pid)}
	if t, err := h.Times(); err == nil {
		cpu = time.Duration((t.User + t.System) * float64(time.Second))
	}
	if m, err := h.MemoryInfo(); err == nil {
		rss = m.RSS
	}
	return cpu, rss
}

// anon is all that is resident: memory that a file backs cannot be told apart here.
func (p proc) anon() uint64 {
	_, rss := p.usage()
	return rss
}

// StartedWith finds none here: the environments of other processes cannot be read.
func StartedWith(string, func([]string) bool) (ID, bool) { return ID{}, false }

// StartedWith is false here.
func (ID) StartedWith(string, func([]string) bool) bool { return false }

// StartedBy fails here.
func StartedBy(int, string, func([]string) bool) ([]ID, error) {
	return nil, fmt.Errorf("cannot read the environment of a process on this system: %w", errors.ErrUnsupported)
}

// Mark does nothing here, where no other process could see the mark.
func Mark(string) error { return nil }

// Marked is false here.
func (ID) Marked(string) bool { return false }

// children is for a subreaper only.
func children() []int { return nil }

func signalExactly(p proc, sig syscall.Signal) error { return signalChecked(p, sig) }

// watch waits until there is something to collect. No portable wait leaves the child
// uncollected, but its end comes with SIGCHLD.
type watch struct{ sigchld chan os.Signal }

func newWatch() (watch, map[key]bool, error) {
	// Room for one is enough: a signal means "collect", however many there were.
	w := watch{make(chan os.Signal, 1)}
	signal.Notify(w.sigchld, syscall.SIGCHLD)
	return w, nil, nil
}

func (w watch) wait() { <-w.sigchld }
func (w watch) stop() { signal.Stop(w.sigchld) }

// waitPID is what wait4 waits for: the child alone, because gopsutil runs ps and waits for
// that itself.
func waitPID(pid int) int { return pid }
