package filestore

import (
	"context"
	"encoding/binary"
	"errors"
	"iter"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"berth/lease"
)

// watch reports slots whose files were closed by a process that could write them: a holder
// that ended, a release, or wakeHead. Heartbeats and other writes cause no such event. A
// user may have few of these (128 inotify instances by default), so only heads of lines
// have one.
type watch struct {
	f *os.File

	mu       sync.Mutex
	followed map[int]follow // by slot
	ended    []int          // slots of processes that ended since the last wait
}

// follow is a process whose end is awaited.
type follow struct {
	process lease.Process
	pidfd   *os.File
}

// newWatch watches the open directory, even if its path leads elsewhere by now.
func newWatch(d *dir) (*watch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	err = d.withFD(func(at int) error {
		_, err := unix.InotifyAddWatch(fd, "/proc/self/fd/"+strconv.Itoa(at), unix.IN_CLOSE_WRITE|unix.IN_ONLYDIR)
		return err
	})
	if err == unix.ENOENT { // there is no /proc: to watch another directory by mistake does no harm
		_, err = unix.InotifyAddWatch(fd, d.path, unix.IN_CLOSE_WRITE|unix.IN_ONLYDIR|unix.IN_DONT_FOLLOW)
	}
	if err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("inotify_add_watch", err)
	}
	return &watch{f: os.NewFile(uintptr(fd), "inotify")}, nil
}

// wait returns the slots that were closed since the last call (-1 means all), or whose
// processes ended, as soon as there is one. It returns none after d or the end of ctx.
// After an error the watch does not work any more.
func (w *watch) wait(ctx context.Context, d time.Duration) ([]int, error) {
	// Read here, and not in another goroutine: that would delay each hand-over.
	if err := w.f.SetReadDeadline(time.Now().Add(d)); err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, w.wake)()
	if slots := w.takeEnded(); len(slots) > 0 { // a process that ends from now on ends the read
		return slots, nil
	}
	var buf [4096]byte
	n, err := w.f.Read(buf[:])
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return w.takeEnded(), nil
	case err != nil:
		return nil, err
	}
	return parseEvents(buf[:n])
}

var errWatchGone = errors.New("the watched directory is gone")

// events are the masks and names in what was read from inotify.
func events(b []byte) iter.Seq2[uint32, string] {
	return func(yield func(uint32, string) bool) {
		for len(b) >= unix.SizeofInotifyEvent {
			mask := binary.NativeEndian.Uint32(b[4:])
			end := min(len(b), unix.SizeofInotifyEvent+int(binary.NativeEndian.Uint32(b[12:])))
			name := strings.TrimRight(string(b[unix.SizeofInotifyEvent:end]), "\x00")
			if b = b[end:]; !yield(mask, name) {
				return
			}
		}
	}
}

func parseEvents(b []byte) ([]int, error) {
	var slots []int
	for mask, name := range events(b) {
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

func (w *watch) wake() { _ = w.f.SetReadDeadline(time.Unix(1, 0)) }

func (w *watch) takeEnded() []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	slots := w.ended
	w.ended = nil
	return slots
}

// follow has wait report slot when the first living one of these processes ends. The
// kernel reports an end only after the process has closed all its files, so the lock is
// gone then. It returns false if none lives, or can be followed.
func (w *watch) follow(slot int, processes []lease.Process, alive func(lease.Process) bool) bool {
	w.mu.Lock()
	before := w.followed[slot]
	w.mu.Unlock()
	for _, p := range processes {
		if before.pidfd != nil && before.process == p {
			return true
		}
		f, err := openPidfd(p.PID)
		if err != nil {
			continue
		}
		if !alive(p) { // after the open: the pidfd cannot refer to another process any more
			f.Close()
			continue
		}
		w.mu.Lock()
		if w.followed == nil {
			w.followed = map[int]follow{}
		}
		w.followed[slot] = follow{p, f}
		w.mu.Unlock()
		if before.pidfd != nil {
			_ = before.pidfd.Close() // it may have just ended
		}
		go w.awaitEnd(slot, f)
		return true
	}
	return false
}

// openPidfd opens a pidfd that the runtime can poll, without a thread for each.
func openPidfd(pid int) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	if err := f.SetReadDeadline(time.Time{}); err != nil { // it cannot be polled
		f.Close()
		return nil, err
	}
	return f, nil
}

func (w *watch) awaitEnd(slot int, f *os.File) {
	raw, err := f.SyscallConn()
	if err != nil {
		return
	}
	err = raw.Read(func(fd uintptr) bool {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, 0)
		return err == nil && n > 0
	})
	if err != nil { // it was closed: the end is of no interest any more
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.followed[slot].pidfd == f {
		delete(w.followed, slot)
		w.ended = append(w.ended, slot)
		w.wake()
	}
	f.Close()
}

func (w *watch) close() {
	w.mu.Lock()
	for _, f := range w.followed {
		f.pidfd.Close()
	}
	w.followed = nil
	w.mu.Unlock()
	_ = w.f.Close()
}
