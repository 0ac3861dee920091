//go:build unix

package filestore

import (
	"context"
	"slices"
	"time"

	"berth/lease"
)

// Watch implements lease.Store. Where directories can be watched, events tell of nearly all
// changes, and the interval of Timings.FullCheck of the rest: the end of a job that has closed
// what it inherited causes no event. Elsewhere, or when no inotify instance is left for this
// user, the interval is all there is. It costs the pools nothing.
func (s *Store) Watch(ctx context.Context, pools ...string) (<-chan struct{}, error) {
	for _, p := range pools {
		if err := lease.CheckPool(p); err != nil {
			return nil, err
		}
	}
	for _, name := range pools {
		// It stays open: no other directory gets its inode, and no sweep removes it.
		if p, err := s.pool(name, false); err == nil {
			context.AfterFunc(ctx, p.close)
		}
	}
	w := &changes{s: s, pools: slices.Clone(pools), told: make(chan struct{}, 1)}
	go w.run(ctx, w.events(ctx))
	return w.told, nil
}

// changes is one Watch.
type changes struct {
	s     *Store
	pools []string // none: all
	told  chan struct{}
}

const (
	// settleTime is how long a change has until its watcher is told: the event of a closed
	// file can come 0.3 ms before its lock is gone, and a process that ends needs a moment to
	// close all its files.
	settleTime = 20 * time.Millisecond
	// changesPause is how long events collect in the kernel before more of them are read.
	changesPause = 100 * time.Millisecond
)

// run tells of what comes from events; nil: nothing ever does.
func (w *changes) run(ctx context.Context, events <-chan struct{}) {
	defer close(w.told)
	tick := time.NewTicker(w.s.opts.FullCheck)
	defer tick.Stop()
	for {
		pause := time.Duration(0)
		select {
		case <-ctx.Done():
			return
		case _, open := <-events:
			if !open {
				events = nil
				continue
			}
			pause = settleTime
		case <-tick.C:
		}
		time.Sleep(pause)
		select {
		case w.told <- struct{}{}:
		default: // the last one has not been received yet
		}
	}
}
