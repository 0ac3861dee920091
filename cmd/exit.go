package cmd

import (
	"errors"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"berth/cmd/tty"
	"berth/lease"
	"berth/limiter"
	"berth/procwatch"
)

// The exit codes of berth. A child that ran gives its own.
const (
	codeOK       = 0
	codeNo       = 1  // a plain "no" of a subcommand
	codeLost     = 74 // EX_IOERR: the lease was lost, and the command was ended
	codeBusy     = 75 // EX_TEMPFAIL: try again later
	codeTimeout  = 124
	codeFailed   = 125
	codeCannot   = 126
	codeNotFound = 127
	codeSignal   = 128 // plus the signal's number
)

// code is the only way from an error to an exit code.
func code(err error) int {
	var (
		sig     tty.SignalError
		busy    *limiter.BusyError
		stopped *lease.StoppedError
		stale   *staleError
	)
	switch {
	case err == nil:
		return codeOK
	case errors.As(err, &sig):
		return codeSignal + int(sig.Signal)
	case errors.As(err, &busy), errors.As(err, &stopped):
		return codeBusy
	case errors.Is(err, procwatch.ErrNotFound):
		return codeNotFound
	case errors.Is(err, procwatch.ErrCannotExec):
		return codeCannot
	case errors.Is(err, errTimeout):
		return codeTimeout
	case errors.Is(err, lease.ErrLost):
		return codeLost
	case errors.Is(err, lease.ErrNotFound), errors.As(err, &stale):
		return codeNo
	default:
		return codeFailed
	}
}

// Outcome is how berth ends.
type Outcome struct {
	Code   int
	Signal syscall.Signal // that ended the command, or our wait; Code is 128 more
}

func outcomeOf(err error) Outcome {
	o := Outcome{Code: code(err)}
	if sig := (tty.SignalError{}); errors.As(err, &sig) {
		o.Signal = sig.Signal
	}
	return o
}

// End is the exit code of this process, unless it dies of a signal here, as its command
// did: a shell goes on with a loop after Ctrl-C when its child only exits. Where that
// cannot be (pid 1, which the kernel spares; a signal that our caller ignores), the
// code says it.
func (o Outcome) End() int {
	if o.Signal != 0 && !signal.Ignored(o.Signal) {
		tty.Die(o.Signal)
	}
	return o.Code
}

// errTimeout: a time limit of the job's own ended it.
var errTimeout = errors.New("time limit")

// timeLimitError says that a time limit ended the job.
type timeLimitError struct {
	flag   string
	after  time.Duration
	signal syscall.Signal
	kill   time.Duration
}

func (e *timeLimitError) Error() string {
	how := fmt.Sprintf("%s, and KILL after %v", tty.SignalName(e.signal), e.kill)
	if e.signal == syscall.SIGKILL || e.kill == 0 {
		how = "KILL"
	}
	return fmt.Sprintf("the job ran into %s %v and was ended (%s)", e.flag, e.after, how)
}

func (e *timeLimitError) Unwrap() error { return errTimeout }
