package etcdstore

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/lease"
)

// Tell implements lease.Store.
func (s *Store) Tell(ctx context.Context, id string, m lease.Message) (e lease.Entry, err error) {
	if err := m.Check(); err != nil {
		return e, err
	}
	err = s.retry(ctx, func(ctx context.Context) (err error) {
		e, err = s.tell(ctx, id, m)
		return err
	})
	return e, err
}

// tell leaves a message on the same etcd lease as the record it is for, so that it goes
// with it.
func (s *Store) tell(ctx context.Context, id string, m lease.Message) (lease.Entry, error) {
	value := encode(m.Stop)
	if m.Kind == lease.MessageKeepalive {
		value = encode(s.Clock())
	}
	for {
		p, h, w, err := s.find(ctx, id)
		switch {
		case errors.Is(err, lease.ErrNotFound) && m.Kind == lease.MessageStop && p.name != "":
			return s.dropKept(ctx, p, id)
		case err != nil:
			return lease.Entry{}, err
		}
		key, rev, on, e := "", int64(0), int64(0), lease.Entry{HeartbeatAge: -1}
		var t lease.Ticket
		switch {
		case h.exists():
			key, rev, on, e.Lease = p.leaseKey(id), h.CreateRevision, h.Lease, &h.value
		case m.ForHolder():
			return lease.Entry{}, fmt.Errorf("%s is still waiting: %w", id, lease.ErrNotFound)
		default:
			t = lease.Ticket{Request: lease.Request{ID: id, Priority: w.value.Priority}, Seq: w.value.Seq}
			key, rev, on, e.Ticket, e.Aside = p.placeKey(id), w.CreateRevision, w.Lease, &t, w.value.Aside
		}
		then := []clientv3.Op{clientv3.OpPut(p.toldKey(id, m.Kind), value, clientv3.WithLease(clientv3.LeaseID(on)))}
		if !h.exists() {
			then = append(then, clientv3.OpGet(p.lineKey(t)), clientv3.OpGet(p.asideKey(t)))
		}
		resp, err := s.commit(ctx, txn{when: []clientv3.Cmp{sameAs(key, rev)}, then: then})
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

// dropKept removes a place that only its key keeps: it has no waiter that could leave.
func (s *Store) dropKept(ctx context.Context, p pool, id string) (lease.Entry, error) {
	resp, err := s.commit(ctx, txn{then: []clientv3.Op{clientv3.OpGet(p.kept(), clientv3.WithPrefix())}})
	if err != nil {
		return lease.Entry{}, err
	}
	for _, kv := range kvs(resp.Responses[0]) {
		w, err := decode[waiting](kv)
		if err != nil || w.value.Ticket.ID != id {
			continue
		}
		gone, err := s.commit(ctx, txn{
			when: []clientv3.Cmp{unchanged(string(kv.Key), kv.ModRevision)},
			then: []clientv3.Op{clientv3.OpDelete(string(kv.Key)), clientv3.OpDelete(p.asideKey(w.value.Ticket))},
		})
		switch {
		case err != nil:
			return lease.Entry{}, err
		case gone.Succeeded:
			return lease.Entry{Ticket: &w.value.Ticket, HeartbeatAge: -1, Aside: true}, nil
		}
	}
	return lease.Entry{}, fmt.Errorf("%s: %w", id, lease.ErrNotFound)
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
