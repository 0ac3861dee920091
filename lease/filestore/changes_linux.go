package filestore

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// changesPause is how long events collect in the kernel before they are read.
	changesPause = 100 * time.Millisecond
	// maxWatched bounds the directories of a store with very many pools.
	maxWatched = 300

	// A write in a pool's directory is a decision or a setting, one in its line a waiter that
	// steps aside. A write to a slot is mostly a heartbeat; when its file is closed, it was
	// released. A reader causes none of these events.
	inPool  = unix.IN_MODIFY | unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_TO | unix.IN_ONLYDIR | unix.IN_DONT_FOLLOW
	inSlots = unix.IN_CLOSE_WRITE | unix.IN_DELETE | unix.IN_ONLYDIR | unix.IN_DONT_FOLLOW
)

// Changes sends when List may return something else than before, for these pools or all. It
// also sends when nothing has changed, as at a heartbeat, and misses what causes no event. It
// costs the pools nothing, and ends with ctx. It is nil where there are no events.
func (s *Store) Changes(ctx context.Context, pools []string) <-chan struct{} {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil // no instance is left for this user, and heads of lines need theirs
	}
	f := os.NewFile(uintptr(fd), "inotify")
	context.AfterFunc(ctx, func() { f.Close() })
	s.watchAll(f, pools)
	told := make(chan struct{}, 1)
	go func() {
		var buf [16 << 10]byte
		for {
			n, err := f.Read(buf[:])
			if err != nil {
				return
			}
			if newDirectory(buf[:n]) {
				s.watchAll(f, pools)
			}
			select {
			case told <- struct{}{}:
			default: // the last one has not been received yet
			}
			time.Sleep(changesPause)
		}
	}()
	return told
}

// watchAll watches all existing directories; one that is watched already stays so. A
// directory that is not ours does no harm: its events only make the caller list again.
func (s *Store) watchAll(f *os.File, pools []string) {
	c, err := f.SyscallConn()
	if err != nil {
		return
	}
	dirs := []string{s.dir}
	if len(pools) == 0 {
		pools, _ = s.names()
	}
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
