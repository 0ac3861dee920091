package etcdstore

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/lease"
)

// TryAcquire implements lease.Store. It requests an etcd lease while it reads the pool,
// which takes as long as either alone. A refused request mostly goes on to the line,
// where the etcd lease is needed.
func (s *Store) TryAcquire(ctx context.Context, r lease.Request) (lease.Holding, lease.Verdict, error) {
	p, err := s.pool(r.Pool)
	if err != nil {
		return nil, lease.Verdict{}, err
	}
	n := &newcomer{s: s, pool: p, Request: r, pending: s.requestOrReuse(ctx, r.TTL)}
	var v lease.Verdict
	err = s.retry(ctx, func(ctx context.Context) (err error) {
		v, err = n.try(ctx)
		return err
	})
	switch {
	case err != nil:
		undoBriefly(func() { n.pending.undo(s) }) // it may have been granted
		return nil, v, err
	case n.granted == nil:
		s.keepSpare(n.pending)
		return nil, v, nil
	}
	return n.granted, v, nil
}

// newcomer is a request that stands in no line.
type newcomer struct {
	s    *Store
	pool pool
	lease.Request
	pending *pendingLease
	granted *holding
}

func (n *newcomer) try(ctx context.Context) (lease.Verdict, error) {
	for {
		l, had, ahead, err := n.read(ctx)
		if err != nil {
			return lease.Verdict{}, err
		}
		if had.exists() {
			n.granted, err = n.s.holdingOf(ctx, n.pool, had)
			if granted, lerr := n.pending.wait(ctx); lerr == nil && granted.id != n.granted.on.id {
				n.s.discard(granted.id)
			}
			return lease.Verdict{}, err
		}
		v := lease.Decide(n.s.state(l, ahead), n.Request, lease.Clearance{})
		if v.Reason != lease.Ready {
			return v, nil
		}
		ok, err := n.grant(ctx, l, v)
		if ok || err != nil {
			return v, err
		}
	}
}

func (n *newcomer) grant(ctx context.Context, l *snapshot, v lease.Verdict) (bool, error) {
	granted, err := n.pending.wait(ctx)
	if err != nil {
		n.pending = n.s.requestLease(ctx, n.TTL)
		return false, err
	}
	t, g := n.s.granting(l, n.Request, v, granted.id)
	t.when = append(t.when, noKey(n.pool.line(), n.pool.behind(n.Priority)))
	resp, err := n.s.commit(ctx, t)
	if leaseExpired(err) {
		n.pending = n.s.requestLease(ctx, n.TTL)
	}
	if err != nil || !resp.Succeeded {
		return false, err
	}
	g.Token = uint64(resp.Header.Revision)
	n.granted = &holding{s: n.s, pool: n.pool, lease: g, on: granted, scanFirst: len(l.holders) > few}
	return true, nil
}

// Up to few holders, reading them all is faster than asking first whether that is needed.
const few = 50

// read counts the waiters that the request would pass, and reads only the first of them.
// had is what an earlier attempt was granted, when its answer was lost.
func (n *newcomer) read(ctx context.Context) (l *snapshot, had record[lease.Lease], ahead int, err error) {
	before := clientv3.OpGet(n.pool.line(), clientv3.WithRange(n.pool.behind(n.Priority)), clientv3.WithLimit(1))
	resp, err := n.s.commit(ctx, txn{then: append(n.pool.reading(), before, clientv3.OpGet(n.pool.leaseKey(n.ID)))})
	if err != nil {
		return nil, had, 0, err
	}
	rs := resp.Responses
	if struck, err := n.s.dropDamaged(ctx, n.pool, only(kvs(rs[readings]))); err != nil {
		return nil, had, 0, err
	} else if struck {
		return n.read(ctx)
	}
	if had, err = decodeLease(only(kvs(rs[readings+1]))); had.exists() || err != nil {
		return nil, had, 0, err
	}
	l, err = n.s.snapshotOf(ctx, n.pool, resp.Header.Revision, rs)
	return l, had, int(rs[readings].GetResponseRange().Count), err
}
