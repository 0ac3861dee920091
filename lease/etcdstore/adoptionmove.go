package etcdstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/lease"
	"berth/lease/retry"
)

// move attaches the key to an etcd lease of another TTL, in the same step with the record, if
// that of the record is too short, or longer than it has to be because of us.
func (a *adoption) move(ctx context.Context, keys holderKeys, ttl time.Duration) error {
	l := a.Lease()
	a.mu.Lock()
	under := a.under
	a.mu.Unlock()
	on, err := a.s.grantLease(ctx, ttl)
	if err != nil {
		return err
	}
	a.noteRequested(on.id)
	key, record := a.pool.adoptionKey(l.ID), a.pool.leaseKey(l.ID)
	t := txn{
		when: []clientv3.Cmp{unchanged(key, keys.adoption.ModRevision), sameAs(record, int64(l.Token)), attachedTo(record, under.id)},
		then: []clientv3.Op{clientv3.OpPut(key, a.value(ttl), clientv3.WithLease(on.id))},
	}
	if under.ttl < on.ttl || slices.Contains(a.lengthened, under.id) {
		moved, more, err := a.moveRecord(ctx, keys, max(ttl, a.ttl(0)))
		if err != nil {
			return err
		}
		under, a.lengthened = moved, append(a.lengthened, moved.id)
		t.when, t.then = append(t.when, more.when...), append(t.then, more.then...)
	}
	a.mu.Lock()
	a.expiresBy = min(on.expires(), under.expires()) // from now on, whether we see the answer or not
	a.mu.Unlock()
	resp, err := a.s.commit(ctx, t)
	switch {
	case err != nil:
		return err
	case !resp.Succeeded:
		return a.s.movedAgain()
	}
	a.noteTaken(on, under, a.rev)
	return nil
}

// moveRecord attaches the record to another etcd lease, if it was not written since.
func (a *adoption) moveRecord(ctx context.Context, keys holderKeys, ttl time.Duration) (to etcdLease, t txn, err error) {
	to, err = a.s.grantLease(ctx, ttl)
	kv := keys.record
	return to, txn{
		when: []clientv3.Cmp{unchanged(string(kv.Key), kv.ModRevision)},
		then: append(keys.moved(to.id), clientv3.OpPut(string(kv.Key), string(kv.Value), clientv3.WithLease(to.id))),
	}, err
}

// Release ends the adoption, and leaves the record with the TTL that its keeper expects.
func (a *adoption) Release(ctx context.Context) error {
	short, cancel := context.WithTimeout(ctx, a.s.timings.Release)
	defer cancel()
	tries := 0
	err := retry.Do(short, a.s.trouble, func(ctx context.Context) error {
		tries++
		return a.inTurn(ctx, func() error { return a.end(ctx, tries) })
	})
	if err != nil {
		return fmt.Errorf("cannot end the use of lease %s, which ends by itself with its TTL: %w", a.Lease().ID, err)
	}
	return nil
}

// Unused implements lease.Holding: the grant was the keeper's.
func (a *adoption) Unused(ctx context.Context) error { return a.Release(ctx) }

// end deletes the key. It shortens the TTL of the record in the same step, but not again and
// again: a cluster that is full takes only what makes room.
func (a *adoption) end(ctx context.Context, tries int) error {
	a.mu.Lock()
	l, gone := a.lease, a.gone
	a.mu.Unlock()
	if gone {
		return nil
	}
	key := a.pool.adoptionKey(l.ID)
	t := txn{
		when:  []clientv3.Cmp{sameAs(key, a.rev)},
		then:  []clientv3.Op{clientv3.OpDelete(key)},
		other: []clientv3.Op{clientv3.OpGet(key)},
	}
	if len(a.lengthened) > 0 && tries < handOverTries {
		shorter, err := a.shorten(ctx, l)
		if err != nil {
			return err
		}
		t.when, t.then = append(t.when, shorter.when...), append(t.then, shorter.then...)
	}
	resp, err := a.s.commit(ctx, t)
	if err != nil {
		return err
	}
	if kv := only(kvs(resp.Responses[0])); !resp.Succeeded && kv != nil && slices.Contains(a.requested, clientv3.LeaseID(kv.Lease)) {
		a.rev = kv.CreateRevision // an answer was lost, or the record was written since
		return a.s.movedAgain()
	}
	a.s.unrecorded.Remove(a)
	a.s.discard(a.requested...)
	a.discardLengthened(ctx, l)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gone = true
	return nil
}

// shorten undoes what we have lengthened, if the record is on it still.
func (a *adoption) shorten(ctx context.Context, l lease.Lease) (t txn, err error) {
	_, keys, err := a.mail.read(ctx, a.s, a.pool, l.ID)
	if err != nil || !keys.heldBy(l.Token) || !slices.Contains(a.lengthened, keys.on()) {
		return t, err
	}
	_, t, err = a.moveRecord(ctx, keys, a.ttl(0))
	return t, err
}

// discardLengthened revokes what no key is attached to any more. A message that came during a
// move may be.
func (a *adoption) discardLengthened(ctx context.Context, l lease.Lease) {
	if len(a.lengthened) == 0 {
		return
	}
	if _, keys, err := a.mail.read(ctx, a.s, a.pool, l.ID); err == nil {
		a.s.discard(slices.DeleteFunc(a.lengthened, keys.use)...)
	}
}
