package filestore

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxWatched bounds the directories of a store with very many pools.
	maxWatched = 300

	// A write in a pool's directory is a decision or a setting, one in its line a waiter that
	// steps aside. A write to a slot is mostly a heartbeat; when its file is closed, it was
	// released. A reader causes none of these events.
	inPool  = unix.IN_MODIFY | unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_TO | unix.IN_ONLYDIR | unix.IN_DONT_FOLLOW
	inSlots = unix.IN_CLOSE_WRITE | unix.IN_DELETE | unix.IN_ONLYDIR | unix.IN_DONT_FOLLOW
)

// events sends when there were some, also when nothing has changed, as at a heartbeat. It is
// nil when no inotify instance is left for this user: heads of lines need theirs.
func (w *changes) events(ctx context.Context) <-chan struct{} {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil
	}
	f := os.NewFile(uintptr(fd), "inotify")
	context.AfterFunc(ctx, func() { f.Close() })
	w.watchAll(f)
	events := make(chan struct{}, 1)
	go func() {
		defer close(events)
		var buf [16 << 10]byte
		for {
			n, err := f.Read(buf[:])
			if err != nil {
				return
			}
			if newDirectory(buf[:n]) {
				w.watchAll(f)
			}
			select {
			case events <- struct{}{}:
			default:
			}
			time.Sleep(changesPause)
		}
	}()
	return events
}

// watchAll watches all existing directories; one that is watched already stays so. A
// directory that is not ours does no harm: its events only make the caller list again.
func (w *changes) watchAll(f *os.File) {
	c, err := f.SyscallConn()
	if err != nil {
		return
	}
	s, pools := w.s, w.pools
	if len(pools) == 0 {
		pools, _ = s.names()
	}
	dirs := []string{s.dir}
	for _, p := range pools {
		dirs = append(dirs, filepath.Join(s.dir, p), filepath.Join(s.dir, p, "line"), filepath.Join(s.dir, p, "slots"))
	}
	_ = c.Control(func(fd uintptr) {
		for _, d := range dirs[:min(len(dirs), maxWatched)] {
			mask := uint32(inPool)
			if filepath.Base(d) == "slots" && d != s.dir {
				mask = inSlots
			}
			_, _ = unix.InotifyAddWatch(int(fd), d, mask)
		}
	})
}

// newDirectory reports whether one was made, or events were lost.
func newDirectory(b []byte) bool {
	for mask := range events(b) {
		if mask&unix.IN_Q_OVERFLOW != 0 || mask&unix.IN_ISDIR != 0 && mask&(unix.IN_CREATE|unix.IN_MOVED_TO) != 0 {
			return true
		}
	}
	return false
}
