package etcdstore

import (
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/lease"
)

// granting turns a decision into a transaction, and returns the lease that it grants,
// without the token. The transaction fails if another grant or a new setting came after
// the snapshot, so no more slots can be in use than the snapshot showed. Fewer do no
// harm.
func (s *Store) granting(l *snapshot, r lease.Request, v lease.Verdict, on clientv3.LeaseID) (txn, lease.Lease) {
	starts := l.grants.value
	starts.Buckets = slices.Clone(starts.Buckets)
	start := starts.Add(s.wallClock(), r.Paces(l.own.value)...)
	r.Conditions = lease.Conditions{Need: r.Needs(l.own.value)}
	g := lease.Lease{
		Version: lease.Version, Request: r, Slots: l.free(r.Weight),
		InForce: v.Limit, RequestedLimit: r.Limit, State: lease.Reserved, Since: time.Now(), Start: start,
	}
	g.SlotNames = l.own.value.NamesOf(g.Slots)
	return txn{
		when: []clientv3.Cmp{unchanged(l.pool.grantsKey(), l.grants.rev()), unchanged(l.pool.ownKey(), l.own.rev())},
		then: []clientv3.Op{
			clientv3.OpPut(l.leaseKey(r.ID), encode(g), clientv3.WithLease(on)),
			clientv3.OpPut(l.claimKey(g), "", clientv3.WithLease(on)),
			clientv3.OpPut(l.pool.grantsKey(), encode(starts)),
		},
	}, g
}

// handTo adds the condition that the waiter still stands there with no other before it, and
// takes its ticket out of the line. A waiter that was superseded leaves, and gets nothing.
func (t *txn) handTo(p pool, w record[waiting]) {
	t.when = append(t.when, unchanged(string(w.Key), w.rev()), noKey(p.line(), p.lineKey(w.value.Ticket)),
		absent(p.toldKey(w.value.ID, lease.MessageSupersede)))
	t.then = append(t.then, p.removing(w.value.Ticket)...)
}

// removing deletes a ticket wherever it stands.
func (p pool) removing(t lease.Ticket) []clientv3.Op {
	ops := []clientv3.Op{
		clientv3.OpDelete(p.lineKey(t)),
		clientv3.OpDelete(p.asideKey(t)),
		clientv3.OpDelete(p.placeKey(t.ID)),
	}
	if t.Key != "" {
		ops = append(ops, clientv3.OpDelete(p.graceKey(t)))
	}
	return ops
}

// atHead reads the first ticket of the line.
func (p pool) atHead(how ...clientv3.OpOption) clientv3.Op {
	return clientv3.OpGet(p.line(), append(how, clientv3.WithPrefix(), clientv3.WithLimit(1))...)
}

// grantNext is the grant to the head of the line. It is not ok if there is no head, or if
// the head has gates to ask.
func (s *Store) grantNext(l *snapshot, head record[waiting]) (t txn, ok bool) {
	if !head.exists() || !head.value.Grantable {
		return t, false
	}
	r := head.value.Request
	v := lease.Decide(s.state(l, 0), r, lease.Clearance{})
	if v.Reason != lease.Ready {
		return t, false
	}
	t, _ = s.granting(l, r, v, clientv3.LeaseID(head.Lease))
	t.handTo(l.pool, head)
	return t, true
}
