package memstore

import (
	"context"
	"slices"

	"berth/lease"
)

// watcher is told of changes in these pools, or in all.
type watcher struct {
	pools   []string
	changed chan struct{}
}

// Watch implements lease.Store.
func (s *Store) Watch(ctx context.Context, pools ...string) (<-chan struct{}, error) {
	for _, p := range pools {
		if err := lease.CheckPool(p); err != nil {
			return nil, err
		}
	}
	w := &watcher{slices.Clone(pools), make(chan struct{}, 1)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers = append(s.watchers, w)
	context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.watchers = slices.DeleteFunc(s.watchers, func(o *watcher) bool { return o == w })
		close(w.changed)
	})
	return w.changed, nil
}

// announce tells the watchers that List may return something else; the caller has locked s.mu.
func (p *pool) announce() {
	for _, w := range p.s.watchers {
		if len(w.pools) > 0 && !slices.Contains(w.pools, p.name) {
			continue
		}
		select {
		case w.changed <- struct{}{}:
		default: // the last one has not been received yet
		}
	}
}
