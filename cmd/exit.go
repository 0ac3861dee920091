package cmd

import (
	"errors"
	"fmt"
	"os/signal"
	"syscall"

	"berth/cmd/job"
	"berth/cmd/tokenfile"
	"berth/cmd/tty"
	"berth/cmd/wait"
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

// code is the exit code of an error. Only codeOfJob gives others.
func code(err error) int {
	var (
		sig     tty.SignalError
		busy    *limiter.BusyError
		stopped *lease.StoppedError
		stale   *tokenfile.StaleError
		notYet  *wait.NotYetError
	)
	switch {
	case err == nil:
		return codeOK
	case errors.As(err, new(*doubtError)):
		return codeFailed
	case errors.As(err, &sig):
		return codeSignal + int(sig.Signal)
	case errors.As(err, &busy), errors.As(err, &stopped), errors.As(err, &notYet), errors.As(err, new(*stillRunsError)), errors.As(err, new(*lease.AdoptedError)):
		return codeBusy
	case errors.Is(err, procwatch.ErrNotFound):
		return codeNotFound
	case errors.Is(err, procwatch.ErrCannotExec):
		return codeCannot
	case errors.Is(err, job.ErrTimeLimit):
		return codeTimeout
	case errors.Is(err, lease.ErrLost):
		return codeLost
	case errors.Is(err, lease.ErrNotFound), errors.As(err, &stale), errors.As(err, new(*notAcquiredError)):
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
	var sig tty.SignalError
	if errors.As(err, &sig) {
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

// codeOfJob is the command's own code, except that a command which was stopped never looks
// like one that has done its work: many end with 0 after a TERM, and the script goes on to
// what needs their result. One that had exited before, with --hold tree, has done it.
func codeOfJob(r job.Result) (int, error) {
	stopped := errors.As(r.Why, new(*lease.StoppedError))
	switch {
	case errors.Is(r.Why, lease.ErrLost):
		return 0, fmt.Errorf("%w; the job was ended", r.Why)
	case r.Why != nil && !stopped:
		return 0, r.Why
	case stopped && r.Code == 0 && r.First != 0:
		return codeSignal + int(r.First), nil
	case r.Signal != 0:
		return 0, tty.SignalError{Signal: r.Signal}
	default:
		return r.Code, nil
	}
}
