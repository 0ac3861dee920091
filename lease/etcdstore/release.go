package etcdstore

import (
	"context"
	"errors"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/lease"
	"berth/lease/remote/client"
	"berth/lease/retry"
)

const (
	// handOverTries is how often a release tries to grant to the next in line as well, when
	// others are faster, or when the cluster is full and takes only what makes room.
	// After that the head of the line has to see for itself.
	handOverTries = 4
)

func (h *holding) Release(ctx context.Context) error { return h.release(ctx, true) }

// Unused implements lease.Holding.
func (h *holding) Unused(ctx context.Context) error { return h.release(ctx, false) }

func (h *holding) release(ctx context.Context, used bool) error {
	h.mu.Lock()
	l, gone := h.lease, h.gone
	g := releasing{used: used, scanFirst: h.scanFirst}
	past := slices.Clone(h.former)
	if h.expiresBy == 0 {
		g.on = h.on.id
	} else {
		past = append(past, h.on.id)
	}
	h.gone = !l.Kept // that of a keeper may be refused, and nothing has changed then
	h.mu.Unlock()
	if gone {
		return nil
	}
	h.s.unrecorded.Remove(h)
	err := h.s.release(ctx, h.pool, l, g)
	h.mu.Lock()
	h.gone = err == nil // after an error it can be retried
	h.mu.Unlock()
	switch {
	case errors.As(err, new(*lease.AdoptedError)):
		return err
	case err != nil:
		return client.NotReleased(l, err)
	}
	h.s.discard(past...)
	h.s.sweep()
	return nil
}

// releasing says how slots are given back.
type releasing struct {
	used bool
	// on is the etcd lease that this record alone is attached to; 0: that is uncertain.
	on clientv3.LeaseID
	// scanFirst: first read whether there is a waiter.
	scanFirst bool
	// current: do not read from a member that may lag behind.
	current bool
}

func (s *Store) release(ctx context.Context, p pool, l lease.Lease, g releasing) error {
	short, cancel := context.WithTimeout(ctx, s.timings.Release)
	defer cancel()
	tries := 0
	return retry.Do(short, s.trouble, func(ctx context.Context) error { return s.handOver(ctx, p, l, g, &tries) })
}

// handOver gives slots back and grants them to the next in line in the same transaction.
// If they were not used, that transaction also takes back the start: a waiter that the
// pace holds up watches nothing but the slots.
//
// Without a next in line, revoking the etcd lease is enough: it deletes the records, and
// every watcher sees that. With one, the etcd lease is revoked afterwards in the
// background, so the next in line does not wait for it. A kept lease is never given back by
// revoking, which has no conditions: it must not be adopted.
func (s *Store) handOver(ctx context.Context, p pool, l lease.Lease, g releasing, tries *int) error {
	freed := txn{
		when:  []clientv3.Cmp{sameAs(p.leaseKey(l.ID), int64(l.Token))},
		then:  []clientv3.Op{clientv3.OpDelete(p.holder(l.ID), clientv3.WithPrefix())},
		other: []clientv3.Op{clientv3.OpGet(p.leaseKey(l.ID), clientv3.WithKeysOnly())},
	}
	if l.Kept {
		freed.then[0] = clientv3.OpDelete(p.holder(l.ID), clientv3.WithPrefix(), clientv3.WithPrevKV())
		freed.when = append(freed.when, p.unadopted(l.ID))
		freed.other = append(freed.other, clientv3.OpGet(p.adoptionKey(l.ID)))
	}
	for ; ; *tries++ {
		t, more := freed, false
		if *tries < handOverTries {
			t, more = s.withNext(ctx, p, l, g, freed)
		}
		if !more && g.used && g.on != 0 && !l.Kept {
			return s.revokeLease(ctx, g.on)
		}
		resp, err := s.commit(ctx, t)
		switch {
		case err != nil:
			*tries++
			return err
		case resp.Succeeded:
			s.discard(append(deletedOn(resp), g.on)...)
			return nil
		}
		if kv := only(kvs(resp.Responses[0])); kv == nil || kv.CreateRevision != int64(l.Token) {
			s.discard(g.on)
			if !g.used {
				return s.undoLost(ctx, p, l)
			}
			return nil // it was gone already
		}
		if l.Kept {
			if by := adoptionIn(only(kvs(resp.Responses[1]))); by != nil {
				return by.refusal(l.ID)
			}
		}
	}
}

// deletedOn are the etcd leases of what was deleted of a kept lease: an adopter may have moved
// it, which its keeper does not know of.
func deletedOn(resp *clientv3.TxnResponse) (all []clientv3.LeaseID) {
	for _, r := range resp.Responses {
		for _, kv := range r.GetResponseDeleteRange().GetPrevKvs() {
			all = append(all, clientv3.LeaseID(kv.Lease))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// undoLost takes back the start of a lease that is gone. It may have been taken back
// before, if an answer was lost. So it does so only for the last start, which Undo
// changes.
func (s *Store) undoLost(ctx context.Context, p pool, l lease.Lease) error {
	resp, err := s.commit(ctx, txn{then: []clientv3.Op{clientv3.OpGet(p.grantsKey())}})
	if err != nil {
		return err
	}
	g, err := decode[lease.Starts](only(kvs(resp.Responses[0])))
	if err != nil || !g.exists() || g.value.Count != l.Start.Nth {
		return nil
	}
	g.value.Undo(l.Start)
	_, err = s.commit(ctx, p.counting(g))
	return err
}

// counting writes the starts if they are still those that were read.
func (p pool) counting(g record[lease.Starts]) txn {
	return txn{
		when: []clientv3.Cmp{unchanged(p.grantsKey(), g.rev())},
		then: []clientv3.Op{clientv3.OpPut(p.grantsKey(), encode(g.value))},
	}
}

// withNext adds the grant to the next in line; more reports whether it added anything.
// The read may come from a member that lags behind, because the transaction checks all
// that it rests on. A read that decides whether there is a transaction at all comes from
// a current member.
func (s *Store) withNext(ctx context.Context, p pool, l lease.Lease, g releasing, freed txn) (t txn, more bool) {
	var lag []clientv3.OpOption
	if g.used && !g.current {
		lag = append(lag, clientv3.WithSerializable())
	}
	first := []clientv3.Op{p.atHead(lag...), clientv3.OpGet(s.sweptKey(), lag...)}
	if g.used && g.scanFirst {
		resp, err := s.commit(ctx, txn{then: first})
		if err != nil {
			return freed, false
		}
		if only(kvs(resp.Responses[0])) == nil {
			s.noteSweep(resp.Responses[1])
			return freed, false
		}
	}
	resp, err := s.commit(ctx, txn{then: append(p.reading(lag...), first...)})
	if err != nil {
		return freed, false
	}
	s.noteSweep(resp.Responses[readings+1])
	head, err := p.parseWaiter(only(kvs(resp.Responses[readings])))
	if err != nil {
		if struck, err := s.dropDamaged(ctx, p, head.KeyValue); !struck || err != nil {
			return freed, false
		}
		g.current = true
		return s.withNext(ctx, p, l, g, freed)
	}
	if !head.exists() && g.used {
		return freed, false
	}
	seen, err := s.snapshotOf(ctx, p, resp.Header.Revision, resp.Responses)
	if err != nil {
		return freed, false
	}
	if !g.used {
		seen.grants.value.Undo(l.Start)
	}
	t, ok := s.grantNext(seen.without(l.ID), head)
	switch {
	case !ok && g.used:
		return freed, false
	case !ok:
		t = p.counting(seen.grants)
	}
	t.when = append(t.when, freed.when...)
	t.then = append(t.then, freed.then...)
	t.other = freed.other
	return t, true
}

// noteSweep keeps the record of the last sweep.
func (s *Store) noteSweep(read *pb.ResponseOp) {
	last, _ := decode[sweepRecord](only(kvs(read)))
	s.swept.Store(&last)
}
