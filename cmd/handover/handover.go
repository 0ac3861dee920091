// Package handover lets a command go on in the background once it has done what its caller
// waits for. The front, which the caller has started, starts the same program again as its
// child, the back. The back does the work in the terminal and the process group of the front,
// so that Ctrl-C and Ctrl-Z reach it. When it is done it leaves them, and has the front print
// something and exit.
//
// Either side learns when the other one is gone, however it went: they share a pair of
// sockets.
package handover

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"berth/procwatch"
)

// variable is what tells the back that it is one: the number of its descriptor, and the data
// of the front.
const variable = "BERTH_BACKGROUND"

// A process that was started with BERTH_LEASE counts as one of that job, for as long as it lives.
// The back is none: it goes on after that job. So it gets that variable under another name.
const leaseOfCaller, hidden = "BERTH_LEASE", "BERTH_BACKGROUND_LEASE"

// isBack is how this process was started: the variable is not passed on.
var isBack = os.Getenv(variable) != ""

// IsBack reports whether this process is the back.
func IsBack() bool { return isBack }

// Front is the side that the caller waits for.
type Front struct{ ours, theirs *os.File }

// NewFront makes the pair of sockets.
func NewFront() (*Front, error) {
	ours, theirs, err := pair()
	if err != nil {
		return nil, fmt.Errorf("cannot reach a process in the background: %w", err)
	}
	return &Front{ours, theirs}, nil
}

// Environ is the environment of the back, made of that of the caller. The back finds the data in
// Back.Data.
func (f *Front) Environ(callers []string, data string) []string {
	env := slices.Clone(callers)
	for i, e := range env {
		if id, is := strings.CutPrefix(e, leaseOfCaller+"="); is {
			env[i] = hidden + "=" + id
		}
	}
	return append(env, fmt.Sprintf("%s=%d %s", variable, f.theirs.Fd(), data))
}

// Started is called when the back was started, or will not be.
func (f *Front) Started() { f.theirs.Close() }

// Receive returns what the back has said, "" if it is gone or has failed.
func (f *Front) Receive() string {
	var said strings.Builder
	for buf := make([]byte, 4096); ; {
		n, err := f.ours.Read(buf)
		said.Write(buf[:n])
		if err != nil {
			return said.String()
		}
	}
}

// Confirm lets the back go on without us. Without it the back is told that we are gone.
func (f *Front) Confirm() error {
	_, err := f.ours.Write([]byte{'\n'})
	return err
}

// Back is the side that goes on.
type Back struct {
	Data string
	Gone <-chan struct{} // closed when the front is gone without a Confirm
	// Confirmed is closed at the front's Confirm.
	Confirmed <-chan struct{}

	fd   int // what a program gets that replaces this one
	conn *os.File
}

// NewBack closes what this process has inherited besides 0, 1 and 2: a lock or a pipe of its
// caller would be held for as long as it runs. It is called before this process opens
// anything that its own children are to inherit.
func NewBack() (*Back, error) {
	number, data, _ := strings.Cut(os.Getenv(variable), " ")
	fd, err := strconv.Atoi(number)
	if err != nil || !isSocket(fd) {
		return nil, fmt.Errorf("%s: %q is not set by berth; unset it", variable, os.Getenv(variable))
	}
	procwatch.CloseInherited(fd)
	conn, err := again(fd)
	if err != nil {
		return nil, fmt.Errorf("cannot reach the process in the foreground: %w", err)
	}
	gone, confirmed := make(chan struct{}), make(chan struct{})
	go func() {
		if n, _ := conn.Read(make([]byte, 1)); n == 0 {
			close(gone)
		} else {
			close(confirmed)
		}
	}()
	return &Back{Data: data, Gone: gone, Confirmed: confirmed, fd: fd, conn: conn}, nil
}

// Settle is called once this process will not replace itself by another program: its children
// must not take themselves for the back. From now on its environment is that of the caller.
func (b *Back) Settle() {
	_ = os.Unsetenv(variable)
	if id, set := os.LookupEnv(hidden); set {
		_ = os.Setenv(leaseOfCaller, id)
		_ = os.Unsetenv(hidden)
	}
	closeFD(b.fd)
}

// ErrFrontGone says that the front is gone before it has printed what the back has said.
var ErrFrontGone = errors.New("the process that was to print the result is gone")

// HandOver leaves the terminal, the session and the process group of the front, and has it
// receive the text. From then on /dev/null is 0, and out is 1 and 2; nil: /dev/null is. The
// working directory stays.
func (b *Back) HandOver(out *os.File, text string) error {
	if err := detach(out); err != nil {
		return fmt.Errorf("cannot go on in the background: %w", err)
	}
	if _, err := b.conn.WriteString(text); err != nil {
		return ErrFrontGone
	}
	return endOfText(b.conn)
}
