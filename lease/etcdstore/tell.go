package etcdstore

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
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
	for {
		found, err := s.find(ctx, id)
		switch {
		case errors.Is(err, lease.ErrNotFound) && !m.ForHolder() && found.pool.name != "":
			return s.dropKept(ctx, found.pool, id)
		case err != nil:
			return lease.Entry{}, err
		case found.holds.exists() && m.ForWaiter():
			return lease.Entry{}, lease.HoldsError(id)
		case !found.holds.exists() && m.ForHolder():
			return lease.Entry{}, lease.WaitsError(id)
		}
		var e lease.Entry
		var ok bool
		if found.holds.exists() {
			e, ok, err = s.tellHolder(ctx, found, m)
		} else {
			e, ok, err = s.tellWaiter(ctx, found, id, m)
		}
		if ok || err != nil {
			return e, err
		}
		// It has started, or ended.
	}
}

func (s *Store) tellHolder(ctx context.Context, f found, m lease.Message) (e lease.Entry, ok bool, err error) {
	l := f.holds.value
	adoptionIn(f.adoption).describe(&l)
	on := clientv3.WithLease(clientv3.LeaseID(f.holds.Lease))
	t := txn{when: []clientv3.Cmp{sameAs(f.pool.leaseKey(l.ID), f.holds.CreateRevision)}}
	switch m.Kind {
	case lease.MessageKeepalive:
		t.then = append(t.then, clientv3.OpPut(f.pool.toldKey(l.ID, m.Kind), encode(s.Clock()), on))
		if m.Note != "" {
			t.then = append(t.then, clientv3.OpPut(f.pool.noteKey(l.ID), encode(m.Note), on))
		}
	default:
		t.then = append(t.then, clientv3.OpPut(f.pool.toldKey(l.ID, m.Kind), encode(m.Stop), on))
	}
	resp, err := s.commit(ctx, t)
	return lease.Entry{Lease: &l, HeartbeatAge: -1}, err == nil && resp.Succeeded, err
}

func (s *Store) tellWaiter(ctx context.Context, f found, id string, m lease.Message) (e lease.Entry, ok bool, err error) {
	t := lease.Ticket{Request: lease.Request{ID: id, Priority: f.waits.value.Priority}, Seq: f.waits.value.Seq}
	on := clientv3.WithLease(clientv3.LeaseID(f.waits.Lease))
	resp, err := s.commit(ctx, txn{
		when: []clientv3.Cmp{sameAs(f.pool.placeKey(id), f.waits.CreateRevision)},
		then: []clientv3.Op{
			clientv3.OpPut(f.pool.toldKey(id, m.Kind), encode(m.Stop), on),
			clientv3.OpGet(f.pool.lineKey(t)), clientv3.OpGet(f.pool.asideKey(t)),
		},
	})
	if err != nil || !resp.Succeeded {
		return e, false, err
	}
	for _, r := range resp.Responses[1:] {
		if w, err := decode[waiting](only(kvs(r))); err == nil && w.exists() {
			t = w.value.Ticket
		}
	}
	return lease.Entry{Ticket: &t, HeartbeatAge: -1, Aside: f.waits.value.Aside}, true, nil
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

// found is what etcd has under an id: a holder, perhaps with its adoption, or a waiter.
type found struct {
	pool     pool
	holds    record[lease.Lease]
	adoption *mvccpb.KeyValue
	waits    record[placeOf]
}

// find finds a holder or a waiter: exactly one of them is there.
func (s *Store) find(ctx context.Context, id string) (f found, err error) {
	name, err := lease.PoolOf(id)
	if err != nil {
		return f, err
	}
	if f.pool, err = s.pool(name); err != nil {
		return f, err
	}
	resp, err := s.commit(ctx, txn{then: []clientv3.Op{
		clientv3.OpGet(f.pool.leaseKey(id)), clientv3.OpGet(f.pool.placeKey(id)), clientv3.OpGet(f.pool.adoptionKey(id)),
	}})
	if err != nil {
		return f, err
	}
	f.adoption = only(kvs(resp.Responses[2]))
	if f.holds, err = decodeLease(only(kvs(resp.Responses[0]))); err != nil || f.holds.exists() {
		return f, err
	}
	if f.waits, err = decode[placeOf](only(kvs(resp.Responses[1]))); err == nil && !f.waits.exists() {
		err = fmt.Errorf("%s: %w", id, lease.ErrNotFound)
	}
	return f, err
}
