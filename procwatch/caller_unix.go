//go:build unix

package procwatch

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ErrCallerGone says that the process that has started this one is gone.
var ErrCallerGone = errors.New("the process that called this one is gone")

// Caller names the process that has started this one, if that is still our parent: it wraps
// ErrCallerGone when it is not. A caller that replaces itself by another program is the same
// process.
//
// When a caller ends, its children get init or a subreaper as their parent. That one is seldom
// in the session of the orphan, which has it from its caller unless it has begun one of its
// own. A subreaper in the same session cannot be told from a caller.
func Caller() (ID, error) {
	pid := os.Getppid()
	if pid == 0 {
		return ID{}, errors.New("the process that called this one is outside of this pid namespace and cannot be seen")
	}
	session, err := unix.Getsid(0)
	if err != nil {
		return ID{}, os.NewSyscallError("getsid", err)
	}
	switch theirs, err := unix.Getsid(pid); {
	case err == unix.ESRCH:
		return ID{}, ErrCallerGone
	case err != nil || theirs == session: // it may hide its session
	case session != os.Getpid():
		return ID{}, ErrCallerGone
	case pid == 1: // the leader of a session is started by init, or is an orphan
		return ID{}, errors.New("the parent is pid 1: the caller is gone, or it is init, which does not end")
	}
	id, err := Identify(pid)
	if os.Getppid() != pid || errors.Is(err, os.ErrProcessDone) {
		return ID{}, ErrCallerGone
	}
	if err != nil {
		return ID{}, fmt.Errorf("cannot watch the process that called this one: %w", err)
	}
	return id, nil
}
