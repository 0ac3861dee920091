package etcdstore

import (
	"context"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/lease"
)

// Line implements lease.Store.
func (s *Store) Line(ctx context.Context, r lease.Request) (lease.Place, error) {
	p, err := s.pool(r.Pool)
	if err != nil {
		return nil, err
	}
	t := &place{s: s, pool: p, ticket: lease.Ticket{Version: lease.Version, Request: r, Since: time.Now()}}
	t.ctx, t.endWatches = context.WithCancel(clientv3.WithRequireLeader(s.client.Ctx()))
	t.pending, t.own = s.requestOrReuse(ctx, r.TTL), t.watchOwn(0)
	if r.Key != "" {
		t.pendingGrace = s.requestLease(ctx, t.graceTTL())
	}
	if err := s.retry(ctx, t.join); err != nil {
		t.endWatches()
		undoBriefly(t.undo)
		return nil, err
	}
	return t, nil
}

// undo takes back what may have been written.
func (t *place) undo() {
	t.pending.undo(t.s)
	if t.pendingGrace != nil {
		t.pendingGrace.undo(t.s)
	}
}

// join takes a place in the line. All that it needs from etcd was requested at once.
func (t *place) join(ctx context.Context) error {
	// Without a key the answer still tells the revision, see pool.
	kept, err := t.s.commit(ctx, txn{then: []clientv3.Op{
		clientv3.OpGet(t.pool.graceKeys(t.ticket.Key), clientv3.WithPrefix()),
	}})
	if err != nil {
		return err
	}
	if t.attached, err = t.pending.wait(ctx); err != nil {
		t.pending = t.s.requestLease(ctx, t.ticket.TTL)
		return err
	}
	if t.pendingGrace != nil {
		if t.grace, err = t.pendingGrace.wait(ctx); err != nil {
			t.pendingGrace = t.s.requestLease(ctx, t.graceTTL())
			return err
		}
	}
	if err := t.s.attempt(ctx, t.own.waitReady); err != nil {
		return err
	}
	err = t.takePlace(ctx, kept.Header.Revision, kvs(kept.Responses[0]))
	if leaseExpired(err) {
		t.pending = t.s.requestLease(ctx, t.ticket.TTL)
		if t.pendingGrace != nil {
			t.pendingGrace = t.s.requestLease(ctx, t.graceTTL())
		}
	}
	return err
}

// takePlace takes the first kept place whose waiter is gone, or else the last of the
// line.
func (t *place) takePlace(ctx context.Context, rev int64, kept []*mvccpb.KeyValue) error {
	for _, kv := range kept {
		k, err := decode[waiting](kv)
		if err != nil || k.value.ID == t.ticket.ID {
			continue
		}
		as := t.ticket
		as.Seq, as.Priority, as.Since = k.value.Seq, k.value.Priority, k.value.Since
		ok, err := t.enter(ctx, as, txn{
			when: []clientv3.Cmp{unchanged(string(kv.Key), kv.ModRevision), absent(t.pool.placeKey(k.value.ID)), absent(t.pool.placeKey(as.ID))},
			then: []clientv3.Op{clientv3.OpDelete(string(kv.Key)), clientv3.OpDelete(t.pool.asideKey(k.value.Ticket))},
		})
		if ok || err != nil {
			return err
		}
	}
	as := t.ticket
	as.Seq = uint64(rev)
	_, err := t.enter(ctx, as, txn{when: []clientv3.Cmp{absent(t.pool.placeKey(as.ID))}})
	return err
}

// graceTTL is the TTL of a kept place: it must not end while its waiter lives, and lasts
// for Grace after that.
func (t *place) graceTTL() time.Duration {
	return max(t.ticket.TTL, time.Second) + t.ticket.Grace
}

// grantable reports whether another berth may grant this ticket its slots, from the
// moment it stands in the line: it has no gates to ask. Its watch is open by then, and a
// waiter that leaves gives back slots that it has not seen.
func grantable(t lease.Ticket) bool { return t.Gates == "" }

// enter writes a ticket into the line. If its request already has slots, or a place in
// the line, it takes these.
func (t *place) enter(ctx context.Context, as lease.Ticket, with txn) (bool, error) {
	p, on := t.pool, clientv3.WithLease(t.attached.id)
	with.when = append(with.when, absent(p.leaseKey(as.ID)))
	with.then = append(with.then,
		clientv3.OpPut(p.lineKey(as), encode(waiting{Ticket: as, Grantable: grantable(as)}), on),
		clientv3.OpPut(p.placeKey(as.ID), encode(placeOf{Priority: as.Priority, Seq: as.Seq, Since: as.Since}), on))
	if as.Key != "" {
		with.then = append(with.then, clientv3.OpPut(p.graceKey(as), encode(waiting{Ticket: as}), clientv3.WithLease(t.grace.id)))
	}
	with.other = []clientv3.Op{clientv3.OpGet(p.leaseKey(as.ID)), clientv3.OpGet(p.placeKey(as.ID))}
	resp, err := t.s.commit(ctx, with)
	if err != nil {
		return false, err
	}
	if resp.Succeeded {
		t.ticket, t.rev = as, resp.Header.Revision
		return true, nil
	}
	had, err := decodeLease(only(kvs(resp.Responses[0])))
	if err != nil {
		return false, err
	}
	if had.exists() {
		t.granted, err = t.s.holdingOf(ctx, p, had)
		return false, err
	}
	m, err := decode[placeOf](only(kvs(resp.Responses[1])))
	if err != nil || !m.exists() {
		return false, err
	}
	t.ticket.Priority, t.ticket.Seq, t.ticket.Since, t.aside = m.value.Priority, m.value.Seq, m.value.Since, m.value.Aside
	t.rev = resp.Header.Revision
	t.attached = etcdLease{id: clientv3.LeaseID(m.Lease), wanted: t.ticket.TTL}
	return true, t.s.renewLease(ctx, &t.attached)
}
