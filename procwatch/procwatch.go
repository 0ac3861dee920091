// Package procwatch runs one child and its whole tree to a definite end, with
// names for processes that a reused pid cannot take over.
//
// A child started here is what it would be if the caller had run it itself:
// same process group, session, terminal, descriptors and arguments. Its stops
// are reported, which os/exec cannot do, so that job control can be passed on.
//
// On Linux the calling process becomes a subreaper: a descendant whose parent
// ends is handed to us, so the tree cannot lose members to init, and "none
// left" is a fact the kernel tells rather than a guess from a process table.
// What is started on our behalf by somebody else (a container engine, systemd,
// at) is no descendant and is not seen. A process has one reaper, so one child
// runs at a time, and nothing else in the program may fork meanwhile: its
// exits would be collected here.
//
// Other Unix systems have no subreaper: there a descendant that loses its
// parent before it was first seen escapes, and WaitTree is unsupported.
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

// NoProcError says that the processes of this place cannot be told from each other.
type NoProcError struct{ Why string }

func (e *NoProcError) Error() string { return "cannot tell one process from another: " + e.Why }

// ID names a process for good: a pid alone names whoever has it today.
type ID struct {
	PID int `json:"pid"`
	// Start is, on Linux, field 22 of /proc/PID/stat: clock ticks from boot to
	// the start of the process. It is counted by a clock nobody can set;
	// gopsutil's CreateTime adds the wall clock's idea of the boot, so there
	// the same process gets another name after a clock step. Elsewhere it is
	// that CreateTime, in milliseconds. 0 means that it could not be read.
	Start uint64 `json:"start"`
	Boot  string `json:"boot,omitempty"`
	PIDNS uint64 `json:"pidns,omitempty"` // inode of the pid namespace in which PID counts
	Host  string `json:"host,omitempty"`
}

// State is what can be said of a process from here.
type State int

// Unknown is the zero value: whoever forgets to ask must not read "gone".
const (
	Unknown State = iota
	Gone
	Alive
)

// Stopped is a State as well as an EventKind, and means the same in both:
// untyped, so that one word serves.
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

// judge tells what is known of id without looking at any process; false means
// that id.PID must be looked at. here is the place we run in.
//
// The boot id is asked before the host name, because it names the running
// kernel exactly: a host that is renamed while a job runs stays the same
// machine. The name only decides between boots, where it is all there is.
func (id ID) judge(here ID) (State, bool) {
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

// Usage is what a tree takes now.
type Usage struct {
	CPU   time.Duration // used by its members, and (Linux) by children they have waited for
	RSS   uint64        // bytes; pages shared by two members count twice
	Anon  uint64        // bytes that no file backs; pages shared by two members count once (TreeUsages)
	Procs int
}

// Tree is a process with all its descendants, or with Below these alone, as far as
// Usage.Anon goes.
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
