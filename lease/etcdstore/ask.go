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
			resp, err := s.commit(ctx, txn{then: []clientv3.Op{clientv3.OpGet(p.ownKey())}})
			if err != nil {
				return err
			}
			old, err := decode[lease.Settings](only(kvs(resp.Responses[0])))
			if err != nil {
				old.value = lease.Settings{}
			}
			old.value.UID = -1
			own, err := change(old.value, err)
			if err != nil {
				return err
			}
			op := clientv3.OpPut(p.ownKey(), encode(own))
			if own.None() {
				op = clientv3.OpDelete(p.ownKey())
			}
			set, err := s.commit(ctx, txn{when: []clientv3.Cmp{unchanged(p.ownKey(), old.rev())}, then: []clientv3.Op{op}})
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
		if h.exists() {
			key, rev, on, e.Lease = p.leaseKey(id), h.CreateRevision, h.Lease, &h.value
		} else {
			t = lease.Ticket{Request: lease.Request{ID: id, Priority: m.value.Priority}, Seq: m.value.Seq}
			key, rev, on, e.Ticket, e.Aside = p.placeKey(id), m.CreateRevision, m.Lease, &t, m.value.Aside
		}
		resp, err := s.commit(ctx, txn{
			when: []clientv3.Cmp{sameAs(key, rev)},
			then: []clientv3.Op{
				clientv3.OpPut(p.stopKey(id), encode(stop), clientv3.WithLease(clientv3.LeaseID(on))),
				clientv3.OpGet(p.lineKey(t)), clientv3.OpGet(p.asideKey(t)),
			},
		})
		switch {
		case err != nil:
			return lease.Entry{}, err
		case !resp.Succeeded:
			continue // it has started, or ended
		}
		for _, r := range resp.Responses[1:] {
			if w, err := decode[waiting](only(kvs(r))); err == nil && w.exists() {
				t = w.value.Ticket
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
		case !h.exists():
			return fmt.Errorf("%s is still waiting: %w", id, lease.ErrNotFound)
		}
		resp, err := s.commit(ctx, txn{
			when: []clientv3.Cmp{sameAs(p.leaseKey(id), h.CreateRevision)},
			then: []clientv3.Op{clientv3.OpPut(p.keepaliveKey(id), encode(s.Clock()), clientv3.WithLease(clientv3.LeaseID(h.Lease)))},
		})
		if err == nil && !resp.Succeeded {
			err = fmt.Errorf("%s: %w", id, lease.ErrNotFound)
		}
		return err
	})
}

// find finds a holder or a waiter: exactly one of them is there.
func (s *Store) find(ctx context.Context, id string) (p pool, h record[lease.Lease], m record[placeOf], err error) {
	name, err := lease.PoolOf(id)
	if err != nil {
		return p, h, m, err
	}
	if p, err = s.pool(name); err != nil {
		return p, h, m, err
	}
	resp, err := s.commit(ctx, txn{then: []clientv3.Op{clientv3.OpGet(p.leaseKey(id)), clientv3.OpGet(p.placeKey(id))}})
	if err != nil {
		return p, h, m, err
	}
	if h, err = decodeLease(only(kvs(resp.Responses[0]))); err != nil || h.exists() {
		return p, h, m, err
	}
	if m, err = decode[placeOf](only(kvs(resp.Responses[1]))); err == nil && !m.exists() {
		err = fmt.Errorf("%s: %w", id, lease.ErrNotFound)
	}
	return p, h, m, err
}
