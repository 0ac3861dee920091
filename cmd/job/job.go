// Package job runs one command under one session, from its start to a definite end. It
// forwards signals, follows Ctrl-Z and fg, keeps the time limits, ends the command's tree
// where required, and gives the slots back after that.
//
// Two state machines decide what an event means: life and control (job control). They are
// data and have no effects of their own. One loop turns what comes from the kernel, the
// session and the clock into events, and does what the machines return. What happened goes to
// sinks, which do not block: nothing here prints.
package job

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"berth/cmd/tty"
	"berth/lease"
	"berth/lease/clock"
)

// Spec says what to run and how to end it.
type Spec struct {
	Argv []string
	Env  []string

	Timeout     time.Duration // of the command's running time; 0: none
	IdleTimeout time.Duration // without a keepalive; 0: none
	OfLease     LeaseLimit
	Signal      syscall.Signal
	KillAfter   time.Duration // from Signal to KILL

	HoldTree      bool // keep the slots until the last descendant has ended; excludes EndLeftovers
	EndLeftovers  bool // end what the command leaves behind
	NameLeftovers bool // make a record of what is waited for
	Bound         bool // the command is killed when this process is, however that ends; as it is with leases that expire
	RunOnWhenLost bool // do not end the job when its lease is lost

	// Kept: nothing is run. The lease is kept for another process, or for nobody, and Signal
	// and KillAfter are those of whatever others run under it.
	Kept bool
}

// LeaseLimit is the time limit of an acquired lease, which ends what runs under it. Its keeper
// tells the job of it, but may be out of reach. The zero value: there is none.
type LeaseLimit struct {
	Timeout time.Duration // since the slots were had
	Left    time.Duration // of it when the job begins; may be over
}

// Inputs are what a job needs of the process that it runs in.
type Inputs struct {
	Signals *tty.Signals         // tty.BeforeStart are caught already
	Suspend func()               // suspends this process, not within a call to the store
	Clock   func() clock.Instant // on which keepalives are counted
	// Stop brings requests to end the job that do not come from the store; nil: there are none.
	Stop <-chan lease.Stop
	// Left is closed when the command has left us, and the job is over for us without its end;
	// nil: it never does.
	Left <-chan struct{}
	// Gone, for Keep, is closed when the process is gone that the lease is kept for; nil: it is
	// kept for nobody.
	Gone <-chan struct{}
	// Tell, for Keep, tells whatever runs under the lease to end.
	Tell func(ctx context.Context, id string, stop lease.Stop) error
}

// Result is how a job ended.
type Result struct {
	Code   int            // of the command
	Signal syscall.Signal // that ended the command, or 0
	// Why berth ended the job: *TimeLimitError, *lease.StoppedError or *limiter.LostError.
	// nil: it ended by itself, or a signal to berth ended what the command had left.
	Why error
	// First is the signal that the command was ended with first; 0: it had exited before.
	First syscall.Signal
}

// ErrTimeLimit says that a time limit of the job's own ended it.
var ErrTimeLimit = errors.New("time limit")

// TimeLimitError says which one it was. It is ErrTimeLimit.
type TimeLimitError struct {
	Flag      string
	After     time.Duration
	Signal    syscall.Signal
	KillAfter time.Duration
}

func (e *TimeLimitError) Error() string {
	how := fmt.Sprintf("%s, and KILL after %v", tty.SignalName(e.Signal), e.KillAfter)
	if e.Signal == syscall.SIGKILL || e.KillAfter == 0 {
		how = "KILL"
	}
	return fmt.Sprintf("the job ran into %s %v and was ended (%s)", e.Flag, e.After, how)
}

func (e *TimeLimitError) Unwrap() error { return ErrTimeLimit }
