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

// isSubreaper: here an orphan goes to init, so End follows the processes it has
// seen, and a descendant that was orphaned before the first look escapes.
const isSubreaper = false

// place has the host name only: there are no pid namespaces, and a start time on
// the wall clock tells one boot from another.
var place = sync.OnceValues(func() (ID, error) {
	host, err := os.Hostname()
	return ID{Host: host}, err
})

// Self names the calling process.
func Self() (ID, error) { return Identify(os.Getpid()) }

// look returns what pid is now, or os.ErrProcessDone when nobody has it.
func look(pid int) (proc, error) {
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
		// One that ended meanwhile is none of the tree's living.
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
		_, err = look(p.pid)
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

// anon is all that is resident: what a file backs is not told apart here.
func (p proc) anon() uint64 {
	_, rss := p.usage()
	return rss
}

// StartedWith cannot be told here: other processes' environments are not ours to
// read.
func StartedWith(string) (ID, bool) { return ID{}, false }

// StartedWith cannot be told here either.
func (ID) StartedWith(string) bool { return false }

// StartedBy cannot be told here either.
func StartedBy(int, string, func([]string) bool) ([]ID, error) {
	return nil, fmt.Errorf("cannot read the environment of a process on this system: %w", errors.ErrUnsupported)
}

// Mark does nothing here, where nobody could see it.
func Mark(string) error { return nil }

// Marked is false here.
func (ID) Marked(string) bool { return false }

// children is for a subreaper only.
func children() []int { return nil }

func signalExactly(p proc, sig syscall.Signal) error { return signalChecked(p, sig) }

// watch tells when there is something to collect: there is no portable wait that
// leaves the child uncollected, but its end comes with SIGCHLD.
type watch struct{ sigchld chan os.Signal }

func newWatch() (watch, map[key]bool, error) {
	// One place is enough: a signal means "look", however many there were.
	w := watch{make(chan os.Signal, 1)}
	signal.Notify(w.sigchld, syscall.SIGCHLD)
	return w, nil, nil
}

func (w watch) wait() { <-w.sigchld }
func (w watch) stop() { signal.Stop(w.sigchld) }

// reapable: the child only, for gopsutil runs ps and waits for it itself.
func reapable(pid int) int { return pid }
