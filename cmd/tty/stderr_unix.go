//go:build unix

package tty

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Stderr writes to descriptor 2. Through an os.File a write to a pipe that nothing reads
// any more would end this process by SIGPIPE, unless that is caught.
type Stderr struct{}

func (Stderr) Write(b []byte) (n int, err error) {
	for n < len(b) {
		m, err := unix.Write(2, b[n:])
		switch {
		case err == nil:
			n += m
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN): // another process made it non-blocking
			_, _ = unix.Poll([]unix.PollFd{{Fd: 2, Events: unix.POLLOUT}}, -1)
		default:
			return n, err
		}
	}
	return n, nil
}
