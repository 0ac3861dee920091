package etcdstore

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Watch implements lease.Store. Renewals of etcd leases change no key, so they are not told.
func (s *Store) Watch(ctx context.Context, names ...string) (<-chan struct{}, error) {
	prefixes := []string{}
	for _, n := range names {
		p, err := s.pool(n)
		if err != nil {
			return nil, err
		}
		prefixes = append(prefixes, p.dir)
	}
	if len(names) == 0 || len(names) > mostOps {
		prefixes = append(prefixes[:0], s.dir)
	}
	var rev int64
	if err := s.retry(ctx, func(ctx context.Context) (err error) {
		rev, err = s.revision(ctx)
		return err
	}); err != nil {
		return nil, err
	}
	w := &poolWatch{s: s, prefixes: prefixes, changed: make(chan struct{}, 1)}
	go w.run(ctx, rev)
	return w.changed, nil
}

// revision is the present one.
func (s *Store) revision(ctx context.Context) (int64, error) {
	resp, err := s.commit(ctx, txn{then: []clientv3.Op{clientv3.OpGet(s.dir, clientv3.WithPrefix(), clientv3.WithCountOnly(), clientv3.WithLimit(1))}})
	if err != nil {
		return 0, err
	}
	return resp.Header.Revision, nil
}

// poolWatch tells of changes below some prefixes.
type poolWatch struct {
	s        *Store
	prefixes []string
	changed  chan struct{}
}

// run tells of all that changes after rev. The client resumes a watch whose connection is
// broken. What was compacted by then, or a member without a leader, ends it: then it begins
// again, and what it has missed is told as one change.
func (w *poolWatch) run(ctx context.Context, rev int64) {
	defer close(w.changed)
	for {
		w.follow(ctx, rev)
		for {
			select {
			case <-ctx.Done():
				return
			case <-w.s.client.Ctx().Done():
				return
			case <-time.After(rewatchAfter):
			}
			now, err := w.s.revision(ctx)
			if err == nil {
				rev = now
				break
			}
		}
		w.tell()
	}
}

// follow returns when one of the watches has ended.
func (w *poolWatch) follow(ctx context.Context, rev int64) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	events := make(chan clientv3.WatchResponse)
	for _, p := range w.prefixes {
		one := w.s.watch(ctx, p, clientv3.WithPrefix(), clientv3.WithRev(rev+1))
		go func() {
			for r := range one.responses {
				select {
				case events <- r:
				case <-ctx.Done():
					return
				}
			}
			select {
			case events <- clientv3.WatchResponse{Canceled: true}:
			case <-ctx.Done():
			}
		}()
	}
	// A member that hangs looks like one that has nothing to tell.
	again := time.NewTicker(w.s.timings.Resend)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		case r := <-events:
			if r.Err() != nil || r.Canceled {
				return
			}
			if len(r.Events) == 0 { // it has only begun
				continue
			}
		}
		w.tell()
	}
}

// tell does not wait: a change that was not received yet stands for this one, too.
func (w *poolWatch) tell() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}
