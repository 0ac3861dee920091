package procwatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"
)

// Windows has neither process groups, stop signals nor exec; a job object could
// hold a tree together and is not used yet. So everything says no.

func unsupported(what string) error {
	return fmt.Errorf("cannot %s on Windows: %w", what, errors.ErrUnsupported)
}

// Self is not supported on Windows.
func Self() (ID, error) { return ID{}, unsupported("identify a process") }

// Identify is not supported on Windows.
func Identify(int) (ID, error) { return ID{}, unsupported("identify a process") }

// State is Unknown on Windows.
func (id ID) State() State { return Unknown }

// Ancestors is not supported on Windows.
func Ancestors() ([]ID, error) { return nil, unsupported("list ancestors") }

// StartedWith is false on Windows.
func (ID) StartedWith(string, func([]string) bool) bool { return false }

// CloseInherited does nothing on Windows.
func CloseInherited(...int) {}

// Above is empty.
func (ID) Above() []ID { return nil }

// TreeUsage is not supported on Windows.
func TreeUsage(...ID) (map[ID]Usage, error) { return nil, unsupported("measure processes") }

// TreeUsages is not supported on Windows.
func TreeUsages(...Tree) (map[Tree]Usage, error) { return nil, unsupported("measure processes") }

// Child does not exist on Windows, for Start fails.
type Child struct{}

// Start is not supported on Windows.
func Start(argv, env []string) (*Child, error) { return nil, unsupported("run a command") }

// StartBound is not supported on Windows.
func StartBound(argv, env []string) (*Child, error) { return nil, unsupported("run a command") }

// Replace is not supported on Windows.
func Replace(argv, env []string) error { return unsupported("run a command") }

// Find finds nothing wrong on Windows: Start does.
func Find(argv, env []string) error { return nil }

// SearchPath is empty on Windows.
func SearchPath([]string) (path string, set bool) { return "", false }

// ID is empty on Windows.
func (*Child) ID() ID { return ID{} }

// Events is nil on Windows.
func (*Child) Events() <-chan Event { return nil }

// Signal is not supported on Windows.
func (*Child) Signal(syscall.Signal) error { return unsupported("signal a process") }

// End is not supported on Windows.
func (*Child) End(context.Context, syscall.Signal, time.Duration) error {
	return unsupported("end a process")
}

// WaitTree is not supported on Windows.
func (*Child) WaitTree(context.Context) error { return unsupported("wait for a tree") }

// EndOrphans is not supported on Windows.
func EndOrphans(context.Context, []ID, syscall.Signal, time.Duration) error {
	return unsupported("end a process")
}

// Left is empty on Windows.
func Left([]ID) []string { return nil }

// Send is not supported on Windows.
func (ID) Send(syscall.Signal) error { return unsupported("signal a process") }

// StartedBy is not supported on Windows.
func StartedBy(int, string, func([]string) bool) ([]ID, error) {
	return nil, unsupported("list processes")
}

// StartedWith finds none on Windows.
func StartedWith(string, func([]string) bool) (ID, bool) { return ID{}, false }

// Mark does nothing on Windows.
func Mark(string) error { return nil }

// Marked is false on Windows.
func (ID) Marked(string) bool { return false }

// CanWaitTree reports whether WaitTree works on this system.
func CanWaitTree() bool { return false }

// Reserve has nothing to do here.
func Reserve(bool) {}

// Ending is false on Windows.
func (ID) Ending() bool { return false }

// Gone is not supported on Windows.
func (ID) Gone() (<-chan struct{}, error) { return nil, unsupported("watch a process") }

// Side cannot be run on Windows.
type Side struct {
	Argv, Env      []string
	Timeout, Grace time.Duration
	Output         io.Writer
}

// SideEnd is how a side command ended.
type SideEnd struct {
	Signal   syscall.Signal
	Code     int
	TimedOut bool
	Left     int
}

// Run is not supported on Windows.
func (Side) Run(context.Context) (SideEnd, error) { return SideEnd{}, unsupported("run a command") }

// BeSide is false on Windows.
func BeSide([]string) (code int, was bool) { return 0, false }

// CanBind reports whether StartBound binds on this system.
func CanBind() bool { return false }

// ErrCallerGone says that the process that has started this one is gone.
var ErrCallerGone = errors.New("the process that called this one is gone")

// Caller is not supported on Windows.
func Caller() (ID, error) { return ID{}, unsupported("watch a process") }
