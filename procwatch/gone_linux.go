package procwatch

import (
	"os"

	"golang.org/x/sys/unix"
)

// Gone returns a channel that is closed once the process is gone, which need not be a child
// of ours. The error wraps os.ErrProcessDone when it is gone already, or when its pid belongs
// to another process. It costs a thread until then.
func (id ID) Gone() (<-chan struct{}, error) {
	fd, err := unix.PidfdOpen(id.PID, 0)
	switch {
	case err == unix.ESRCH:
		return nil, os.ErrProcessDone
	case err != nil: // an old kernel, or a sandbox
		return id.poll()
	}
	// The descriptor refers to one process for good, so it is enough to look once, after it
	// was opened.
	if s := id.State(); s != Alive && s != Stopped {
		unix.Close(fd)
		return nil, notAlive(s)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		defer unix.Close(fd)
		for fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}; ; {
			if n, err := unix.Poll(fds, -1); n > 0 || err != unix.EINTR {
				return
			}
		}
	}()
	return gone, nil
}
