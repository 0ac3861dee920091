// Package tty holds what this process has to do with its terminal and with signals: what each
// signal means, how it is caught, what Ctrl-Z and fg request, how to be suspended, and how to
// die of a signal.
//
// It knows nothing of jobs or stores, and prints nothing.
package tty

import "syscall"

// Class is what is to be done about a signal.
type Class int

const (
	Ignore    Class = iota
	Suspend         // this process is to be suspended, as by Ctrl-Z
	Resume          // it goes on, or is not suspended after all
	Terminate       // what it does is to be ended
	Forward         // the signal is for the command
)

// Phase is what this process has to look after.
type Phase int

const (
	Alone    Phase = iota // no command: it waits, or only reads
	Running               // a command
	Leftover              // what the command left behind
)

// classes is the only table from signals to classes. A signal that is not in it is
// ignored.
var classes = map[syscall.Signal][3]Class{
	syscall.SIGINT:  {Alone: Terminate, Running: Forward, Leftover: Terminate},
	syscall.SIGTERM: {Alone: Terminate, Running: Forward, Leftover: Terminate},
	syscall.SIGHUP:  {Alone: Terminate, Running: Forward, Leftover: Terminate},
	syscall.SIGQUIT: {Alone: Terminate, Running: Forward, Leftover: Terminate},
	USR1:            {Alone: Terminate, Running: Forward, Leftover: Ignore},
	USR2:            {Alone: Terminate, Running: Forward, Leftover: Ignore},
	syscall.SIGALRM: {Alone: Terminate, Running: Forward, Leftover: Ignore},
	WINCH:           {Alone: Ignore, Running: Forward, Leftover: Ignore},
	TSTP:            {Alone: Suspend, Running: Suspend, Leftover: Suspend},
	CONT:            {Alone: Resume, Running: Resume, Leftover: Resume},
}

// ClassOf is what sig means in phase p.
func ClassOf(sig syscall.Signal, p Phase) Class { return classes[sig][p] }

// SignalError says that a signal ended this process's wait, or its command.
type SignalError struct{ Signal syscall.Signal }

func (e SignalError) Error() string { return e.Signal.String() }
