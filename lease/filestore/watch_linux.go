package filestore

import (
	"encoding/binary"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// watch reports slots whose files were closed by somebody who could write
// them: a holder that ended, a release, or a poke. Heartbeats and other writes
// make no such event. A process may have only few of these (128 instances a
// user by default), so only heads of lines have one.
type watch struct {
	f  *os.File
	ch chan int
}

func newWatch(dir string) (*watch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CLOSE_WRITE|unix.IN_ONLYDIR); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("inotify_add_watch", err)
	}
	w := &watch{f: os.NewFile(uintptr(fd), "inotify"), ch: make(chan int, 64)}
	go w.read()
	return w, nil
}

// events delivers slot numbers; -1 stands for any; closed when the directory
// is gone. A nil watch has none.
func (w *watch) events() <-chan int {
	if w == nil {
		return nil
	}
	return w.ch
}

func (w *watch) close() { _ = w.f.Close() }

func (w *watch) read() {
	defer close(w.ch)
	buf := make([]byte, 4096)
	for {
		n, err := w.f.Read(buf)
		if err != nil {
			return
		}
		for b := buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
			mask := binary.NativeEndian.Uint32(b[4:])
			end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(b[12:]))
			name := strings.TrimRight(string(b[unix.SizeofInotifyEvent:end]), "\x00")
			b = b[end:]
			if mask&unix.IN_IGNORED != 0 {
				return
			}
			slot, err := strconv.Atoi(name)
			if err != nil || mask&unix.IN_Q_OVERFLOW != 0 {
				slot = -1
			}
			w.send(slot)
		}
	}
}

// send drops an event when nobody has read the last 64 of them: whoever reads
// those will look at all slots anyhow, because the last place in the buffer is
// kept for the event that says so.
func (w *watch) send(slot int) {
	switch {
	case len(w.ch) < cap(w.ch)-1:
		w.ch <- slot
	case len(w.ch) < cap(w.ch):
		w.ch <- -1
	}
}
