package etcdstore

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/lease"
)

// Set implements lease.Store.
func (s *Store) Set(ctx context.Context, name string, change func(lease.Settings, error) (lease.Settings, error)) error {
	p, err := s.pool(name)
	if err != nil {
		return err
	}
	return s.retry(ctx, func(ctx context.Context) error {
		for {
			resp, err := s.commit(ctx, txn{then: []clientv3.Op{clientv3.OpGet(p.own())}})
			if err != nil {
				return err
			}
			old, err := decode[lease.Settings](only(kvs(resp.Responses[0])))
			if err != nil {
				old.is = lease.Settings{}
			}
			old.is.UID = -1
			own, err := change(old.is, err)
			if err != nil {
				return err
			}
			op := clientv3.OpPut(p.own(), encode(own))
			if own.None() {
				op = clientv3.OpDelete(p.own())
			}
			set, err := s.commit(ctx, txn{when: []clientv3.Cmp{unchanged(p.own(), old.rev())}, then: []clientv3.Op{op}})
			if err != nil || set.Succeeded {
				return err
			}
		}
	})
}

// Stop implements lease.Store.
func (s *Store) Stop(ctx context.Context, id string, stop lease.Stop) (e lease.Entry, err error) {
	err = s.retry(ctx, func(ctx context.Context) (err error) {
		e, err = s.leave(ctx, id, stop)
		return err
	})
	return e, err
}

// leave leaves a request to stop on the same life as the record it is for: it goes
// with it.
func (s *Store) leave(ctx context.Context, id string, stop lease.Stop) (lease.Entry, error) {
	for {
		p, h, m, err := s.find(ctx, id)
		if err != nil {
			return lease.Entry{}, err
		}
		key, rev, on, e := "", int64(0), int64(0), lease.Entry{HeartbeatAge: -1}
		var t lease.Ticket
		if h.there() {
			key, rev, on, e.Lease = p.leaseOf(id), h.CreateRevision, h.Lease, &h.is
		} else {
			t = lease.Ticket{Request: lease.Request{ID: id, Priority: m.is.Priority}, Seq: m.is.Seq}
			key, rev, on, e.Ticket, e.Aside = p.mark(id), m.CreateRevision, m.Lease, &t, m.is.Aside
		}
		resp, err := s.commit(ctx, txn{
			when: []clientv3.Cmp{born(key, rev)},
			then: []clientv3.Op{
				clientv3.OpPut(p.stopOf(id), encode(stop), clientv3.WithLease(clientv3.LeaseID(on))),
				clientv3.OpGet(p.inLine(t)), clientv3.OpGet(p.isAside(t)),
			},
		})
		switch {
		case err != nil:
			return lease.Entry{}, err
		case !resp.Succeeded:
			continue // it has started, or ended
		}
		for _, r := range resp.Responses[1:] {
			if w, err := decode[waiting](only(kvs(r))); err == nil && w.there() {
				t = w.is.Ticket
			}
		}
		return e, nil
	}
}

// Keepalive implements lease.Store.
func (s *Store) Keepalive(ctx context.Context, id string) error {
	return s.retry(ctx, func(ctx context.Context) error {
		p, h, _, err := s.find(ctx, id)
		switch {
		case err != nil:
			return err
		case !h.there():
			return fmt.Errorf("%s is still waiting: %w", id, lease.ErrNotFound)
		}
		resp, err := s.commit(ctx, txn{
			when: []clientv3.Cmp{born(p.leaseOf(id), h.CreateRevision)},
			then: []clientv3.Op{clientv3.OpPut(p.keepalive(id), encode(s.Clock()), clientv3.WithLease(clientv3.LeaseID(h.Lease)))},
		})
		if err == nil && !resp.Succeeded {
			err = fmt.Errorf("%s: %w", id, lease.ErrNotFound)
		}
		return err
	})
}

// find finds a holder or a waiter: exactly one of them is there.
func (s *Store) find(ctx context.Context, id string) (p pool, h record[lease.Lease], m record[mark], err error) {
	name, err := lease.PoolOf(id)
	if err != nil {
		return p, h, m, err
	}
	if p, err = s.pool(name); err != nil {
		return p, h, m, err
	}
	resp, err := s.commit(ctx, txn{then: []clientv3.Op{clientv3.OpGet(p.leaseOf(id)), clientv3.OpGet(p.mark(id))}})
	if err != nil {
		return p, h, m, err
	}
	if h, err = decodeLease(only(kvs(resp.Responses[0]))); err != nil || h.there() {
		return p, h, m, err
	}
	if m, err = decode[mark](only(kvs(resp.Responses[1]))); err == nil && !m.there() {
		err = fmt.Errorf("%s: %w", id, lease.ErrNotFound)
	}
	return p, h, m, err
}
