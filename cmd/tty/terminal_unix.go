//go:build unix

package tty

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func init() {
	signalNames["USR1"], signalNames["USR2"] = USR1, USR2
	signalNames["CONT"], signalNames["STOP"], signalNames["TSTP"] = CONT, STOP, TSTP
	signalNames["WINCH"] = WINCH
}

// Signals that not every system has.
const (
	TSTP  = syscall.SIGTSTP
	STOP  = syscall.SIGSTOP
	CONT  = syscall.SIGCONT
	WINCH = syscall.SIGWINCH
	USR1  = syscall.SIGUSR1
	USR2  = syscall.SIGUSR2
	TTIN  = syscall.SIGTTIN
	TTOU  = syscall.SIGTTOU
)

const canCatch = true

// The signals BeforeStart would end or suspend berth, so they are caught before there is a
// child. Those AfterStart are caught after its start: each costs a round trip to a thread of
// the runtime, which drops them until then.
var (
	BeforeStart = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, TSTP}
	AfterStart  = []os.Signal{
		CONT, WINCH, USR1, USR2,
		syscall.SIGALRM, // the runtime would swallow the time limit of 'perl -e "alarm 9; exec …"'
	}
)

// Terminal knows which signals the kernel sent to the whole foreground group of a
// terminal: the child is in our group and has those already.
//
// The kernel does not say who sent a signal in a way that Go passes on. INT, QUIT, TSTP
// and WINCH that reach the foreground group of a terminal are taken for the terminal's
// own. So a 'kill -INT' from elsewhere to a berth in the foreground is not repeated to
// its child; TERM always is.
type Terminal struct{ had bool }

// NewTerminal opens the terminal of our session once. Descriptors may lead to one that
// is another session's, whose end does not concern us.
func NewTerminal() Terminal {
	fd := openTTY()
	if fd >= 0 {
		unix.Close(fd)
	}
	return Terminal{had: fd >= 0}
}

// Exists reports whether our session had a terminal when the Terminal was made.
func (t Terminal) Exists() bool { return t.had }

// Sent reports whether the terminal sent sig, which came just now.
func (t Terminal) Sent(sig syscall.Signal) bool {
	switch sig {
	case syscall.SIGINT, syscall.SIGQUIT, TSTP, WINCH:
		return Foreground()
	case syscall.SIGHUP: // of a terminal that is gone, to all who had it
		return t.had && !NewTerminal().had
	}
	return false
}

func openTTY() (fd int) {
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return fd
}

// Foreground reports whether our process group has the terminal of our session.
func Foreground() bool {
	fd := openTTY()
	if fd < 0 {
		return false
	}
	defer unix.Close(fd)
	pgrp, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	return err == nil && pgrp == unix.Getpgrp()
}

// CanDraw reports whether we may draw on the terminal that fd is: our process group has
// it, or it is not the one that our shell shares out.
func CanDraw(fd int) bool {
	group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	return err != nil || group == unix.Getpgrp()
}

// IsTerminal reports whether fd is a terminal.
func IsTerminal(fd int) bool {
	_, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
	return err == nil
}

// WindowSize is that of the terminal that fd is, 0 and 0 if it is none. One that does
// not know its size has 80 columns and 24 rows.
func WindowSize(fd int) (columns, rows int) {
	ws, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	columns, rows = int(ws.Col), int(ws.Row)
	if columns == 0 {
		columns = 80
	}
	if rows == 0 {
		rows = 24
	}
	return columns, rows
}
