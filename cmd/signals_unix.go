//go:build unix

package cmd

import (
	"errors"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

func init() {
	signalNames["USR1"], signalNames["USR2"] = syscall.SIGUSR1, syscall.SIGUSR2
	signalNames["CONT"], signalNames["STOP"] = syscall.SIGCONT, syscall.SIGSTOP
}

// Signals that would end or stop berth are caught before there is a child. The
// others come after: each costs a round trip to a thread of the runtime, which drops
// them until then.
var (
	drastic  = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGTSTP}
	harmless = []os.Signal{
		syscall.SIGCONT, syscall.SIGWINCH, syscall.SIGUSR1, syscall.SIGUSR2,
		syscall.SIGALRM, // the runtime would swallow the time limit of 'perl -e "alarm 9; exec …"'
	}
)

// rawStderr writes to descriptor 2. Through an os.File a write to a pipe that has no
// reader any more would end this process by SIGPIPE, unless that is caught.
type rawStderr struct{}

func (rawStderr) Write(b []byte) (n int, err error) {
	for n < len(b) {
		m, err := unix.Write(2, b[n:])
		switch {
		case err == nil:
			n += m
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN): // somebody made it non-blocking
			_, _ = unix.Poll([]unix.PollFd{{Fd: 2, Events: unix.POLLOUT}}, -1)
		default:
			return n, err
		}
	}
	return n, nil
}

// catchSignals has these signals sent to ch. One that was ignored when we
// started (nohup, a background job of a plain sh) is not caught, so that the
// child finds it ignored too.
func catchSignals(ch chan os.Signal, sigs []os.Signal) {
	for _, s := range sigs {
		if !signal.Ignored(s) {
			signal.Notify(ch, s)
		}
	}
}

// terminal knows which signals the kernel sent to the whole foreground group
// of a terminal: the child is in our group and has those already.
//
// The kernel does not say who sent a signal in a way that Go passes on. INT,
// QUIT, TSTP and WINCH that reach the foreground group of a terminal are taken
// for the terminal's own. So a 'kill -INT' from elsewhere to a berth in the
// foreground is not repeated to its child; TERM always is.
type terminal struct{ had bool }

// newTerminal asks for the terminal of our session. Descriptors may lead to one
// that is another session's, whose end is no business of ours.
func newTerminal() terminal { return terminal{had: openTTY()} }

func openTTY() bool {
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err == nil
}

func (t terminal) sent(sig syscall.Signal) bool {
	switch sig {
	case syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTSTP, syscall.SIGWINCH:
		return foreground()
	case syscall.SIGHUP: // of a terminal that is gone, to all who had it
		return t.had && !openTTY()
	}
	return false
}

// foreground reports whether our process group has the terminal.
func foreground() bool {
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	pgrp, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	return err == nil && pgrp == unix.Getpgrp()
}

const (
	sigTSTP  = syscall.SIGTSTP
	sigSTOP  = syscall.SIGSTOP
	sigCONT  = syscall.SIGCONT
	sigWINCH = syscall.SIGWINCH
	sigUSR1  = syscall.SIGUSR1
	sigUSR2  = syscall.SIGUSR2
	sigTTIN  = syscall.SIGTTIN
	sigTTOU  = syscall.SIGTTOU
)

func isTerminal(fd int) bool {
	_, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
	return err == nil
}
