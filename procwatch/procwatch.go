// Package procwatch runs one child with all its descendants to a definite end, and
// identifies processes so that a reused pid is never mistaken for one of them.
//
// A child started here is what it would be if the caller had run it itself: same
// process group, session, terminal, descriptors and arguments. Its stops are reported,
// which os/exec cannot do, so that job control can be passed on.
//
// On Linux the calling process becomes a subreaper: a descendant whose parent ends
// becomes our child, so the tree cannot lose members to init, and the kernel itself says
// when none is left. A process that another program starts for the child (a
// container engine, systemd, at) is not a descendant and is not seen. A process has one
// reaper, so one child runs at a time, and nothing else in the program may fork while it
// runs: procwatch would collect that exit.
//
// Other Unix systems have no subreaper: there a descendant that loses its parent before
// the first scan escapes, and WaitTree is unsupported.
//
// The package never prints and never exits.
package procwatch

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

var (
	// ErrNotFound says that there is no such command; shells turn it into 127.
	ErrNotFound = errors.New("command not found")
	// ErrCannotExec says that the command is there and cannot be run; 126.
	ErrCannotExec = errors.New("command cannot be executed")
)

// NoProcError says that the processes of this system cannot be identified.
type NoProcError struct{ Why string }

func (e *NoProcError) Error() string { return "cannot tell one process from another: " + e.Why }

// ID identifies a process for good. A pid alone may belong to another process tomorrow.
type ID struct {
	PID int `json:"pid"`
	// Start is, on Linux, field 22 of /proc/PID/stat: clock ticks from boot to the start
	// of the process, on a clock that nobody can set. On other systems it is gopsutil's
	// CreateTime, in milliseconds: that adds the time of the boot by the wall clock, so
	// a process gets another ID when the clock is set. 0 means that it could not be read.
	Start uint64 `json:"start"`
	Boot  string `json:"boot,omitempty"`
	PIDNS uint64 `json:"pidns,omitempty"` // inode of the pid namespace in which PID counts
	Host  string `json:"host,omitempty"`
}

// State is what this process can find out about another one.
type State int

// Unknown is the zero value: a State that was never set must not mean "gone".
const (
	Unknown State = iota
	Gone
	Alive
)

// Stopped is a State and an EventKind, with the same meaning, so it is untyped.
const Stopped = 3

func (s State) String() string {
	switch s {
	case Unknown:
		return "unknown"
	case Gone:
		return "gone"
	case Alive:
		return "alive"
	case Stopped:
		return "stopped"
	default:
		return fmt.Sprintf("State(%d)", int(s))
	}
}

// knownState is the state of id that follows from here, the system we run on. It is false
// if the process has to be read.
//
// The boot id is compared before the host name, because it identifies the running
// kernel: a host that is renamed while a job runs is still the same machine. The
// name decides only between boots, where there is nothing else.
func (id ID) knownState(here ID) (State, bool) {
	switch {
	case id.PID < 1 || id.Start == 0:
		return Unknown, true
	case id.Boot != here.Boot && id.Host != here.Host:
		return Unknown, true
	case id.Boot != here.Boot && (id.Boot == "" || here.Boot == ""):
		return Unknown, true
	case id.Boot != here.Boot:
		return Gone, true
	case id.Boot == "" && id.Host != here.Host:
		return Unknown, true
	case id.PIDNS != here.PIDNS:
		return Unknown, true
	default:
		return Unknown, false
	}
}

// Usage is what a tree uses now.
type Usage struct {
	CPU   time.Duration // used by its members, and (Linux) by children they have waited for
	RSS   uint64        // bytes; pages shared by two members count twice
	Anon  uint64        // bytes that no file backs; pages shared by two members count once (TreeUsages)
	Procs int
}

// Tree is a process with all its descendants. With Below, Usage.Anon counts the descendants
// alone.
type Tree struct {
	ID
	Below bool
}

// EventKind says what happened to the child.
type EventKind int

const (
	Continued EventKind = iota + 1
	Exited
)

// Event is a change of the child, never of its descendants.
type Event struct {
	Kind   EventKind
	Signal syscall.Signal // that stopped or ended it, else 0
	Code   int            // of Exited: the exit code, or 128+Signal
}
