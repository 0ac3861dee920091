package filestore

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// watch reports slots whose files were closed by somebody who could write
// them: a holder that ended, a release, or a poke. Heartbeats and other writes
// make no such event. A process may have only few of these (128 instances a
// user by default), so only heads of lines have one.
type watch struct{ f *os.File }

// newWatch watches the directory that is open, whatever its path leads to now.
func newWatch(d *dir) (*watch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	err = d.do(func(at int) error {
		_, err := unix.InotifyAddWatch(fd, "/proc/self/fd/"+strconv.Itoa(at), unix.IN_CLOSE_WRITE|unix.IN_ONLYDIR)
		return err
	})
	if err == unix.ENOENT { // no /proc here: a watch of another directory tells us nothing new, and does no harm
		_, err = unix.InotifyAddWatch(fd, d.path, unix.IN_CLOSE_WRITE|unix.IN_ONLYDIR|unix.IN_DONT_FOLLOW)
	}
	if err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("inotify_add_watch", err)
	}
	return &watch{os.NewFile(uintptr(fd), "inotify")}, nil
}

// wait returns the slots that were closed since the last call (-1 stands for
// any), as soon as there is one; none when d is over or ctx ended. An error
// means that this watch will not report any more.
func (w *watch) wait(ctx context.Context, d time.Duration) ([]int, error) {
	// Read here and not in a goroutine that sends: a hop less at each hand-over.
	if err := w.f.SetReadDeadline(time.Now().Add(d)); err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = w.f.SetReadDeadline(time.Unix(1, 0)) })()
	var buf [4096]byte
	n, err := w.f.Read(buf[:])
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return parseEvents(buf[:n])
}

var errWatchGone = errors.New("the watched directory is gone")

func parseEvents(b []byte) ([]int, error) {
	var slots []int
	for len(b) >= unix.SizeofInotifyEvent {
		mask := binary.NativeEndian.Uint32(b[4:])
		end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(b[12:]))
		name := strings.TrimRight(string(b[unix.SizeofInotifyEvent:end]), "\x00")
		b = b[end:]
		slot, err := strconv.Atoi(name)
		switch {
		case mask&unix.IN_IGNORED != 0:
			return nil, errWatchGone
		case err != nil || mask&unix.IN_Q_OVERFLOW != 0:
			slot = -1
		}
		slots = append(slots, slot)
	}
	return slots, nil
}

func (w *watch) close() { _ = w.f.Close() }
