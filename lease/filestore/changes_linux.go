package filestore

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// changesPause is how long events pile up in the kernel before they are read.
	changesPause = 100 * time.Millisecond
	// mostWatched bounds the directories of a store with very many pools.
	mostWatched = 300

	// What is written into a pool's directory is a decision or a setting, into its line
	// who goes aside. What is written into a slot is mostly a heartbeat; closed, it was
	// given back. A reader makes none of these.
	inPool  = unix.IN_MODIFY | unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_TO | unix.IN_ONLYDIR | unix.IN_DONT_FOLLOW
	inSlots = unix.IN_CLOSE_WRITE | unix.IN_DELETE | unix.IN_ONLYDIR | unix.IN_DONT_FOLLOW
)

// Changes tells that List may have another answer than before, for these pools or all:
// too often, when jobs beat, and not of what makes no event. It costs the pools
// nothing, and ends with ctx. nil where there are no events to be had.
func (s *Store) Changes(ctx context.Context, pools []string) <-chan struct{} {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil // the user's instances are used up, and heads of lines need theirs
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
			default: // there is a word that nobody has read yet
			}
			time.Sleep(changesPause)
		}
	}()
	return told
}

// watchAll watches the directories there are; those that it watches already stay so.
// What is in them is not looked at: whatever somebody put there only makes us look.
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
		for _, d := range dirs[:min(len(dirs), mostWatched)] {
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
	for len(b) >= unix.SizeofInotifyEvent {
		mask := binary.NativeEndian.Uint32(b[4:])
		if mask&unix.IN_Q_OVERFLOW != 0 || mask&unix.IN_ISDIR != 0 && mask&(unix.IN_CREATE|unix.IN_MOVED_TO) != 0 {
			return true
		}
		b = b[min(len(b), unix.SizeofInotifyEvent+int(binary.NativeEndian.Uint32(b[12:]))):]
	}
	return false
}
