package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/lease"
)

// An adoption is a key beside the record of a kept lease. It is attached to an etcd lease of
// its own, so it ends by itself once the adopter no longer renews it. The record is left as
// it was: a berth that knows no adoptions sees a lease that is reserved, and counts its
// slots.
//
// Keeper and adopter both renew the etcd lease of the record, whose TTL is at least that of
// the adoption. So the slots stay taken while either lives.

// adoptionKind is the last part of the key. Of a holder's keys it comes before the lease, so
// a list that is read backwards comes to it after the lease.
const adoptionKind = "adopter"

// adoptedKind is the last part of the key that names the last adopter. It stays when an
// adoption is over: a process that was frozen finds that another one has run a command since,
// and does not adopt the lease again. It is attached to what the record is attached to.
const adoptedKind = "adopted"

// adopted is the record of an adoption.
type adopted struct {
	Adopter lease.Process  `json:"adopter"`
	Child   *lease.Process `json:"child,omitempty"`
	TTL     time.Duration  `json:"ttl_ns"` // that of its etcd lease, as it was requested
}

// adoptionIn is the adoption in this key; nil: there is none. One that cannot be read is
// some process's, too. Without an etcd lease it is none: no berth writes that, and nothing
// would ever end it.
func adoptionIn(kv *mvccpb.KeyValue) *adopted {
	if kv == nil || kv.Lease == 0 {
		return nil
	}
	r, _ := decode[adopted](kv)
	return &r.value
}

func (a *adopted) ttl() time.Duration {
	if a == nil {
		return 0
	}
	return a.TTL
}

// describe adds the adoption to the lease, whose own record does not tell of it.
func (a *adopted) describe(l *lease.Lease) {
	if a == nil || !l.Kept {
		return
	}
	l.Adopter, l.Child = &a.Adopter, a.Child
	if l.Child != nil {
		l.State = lease.Running
	}
}

func (a *adopted) refusal(id string) error {
	return &lease.AdoptedError{ID: id, Adopter: a.Adopter, Child: a.Child}
}

// unadopted compares true while nobody has adopted the lease.
func (p pool) unadopted(id string) clientv3.Cmp { return attachedTo(p.adoptionKey(id), 0) }

// sameAdoption compares true while the adoption is as it was read.
func (k holderKeys) sameAdoption(key string) clientv3.Cmp {
	if k.adoption == nil {
		return attachedTo(key, 0)
	}
	return unchanged(key, k.adoption.ModRevision)
}

// Adopt implements lease.Store.
func (s *Store) Adopt(ctx context.Context, id string, adopter lease.Process) (lease.Holding, error) {
	a := &adoption{s: s, adopter: adopter, turn: make(chan struct{}, 1)}
	err := s.retry(ctx, func(ctx context.Context) error { return a.begin(ctx, id) })
	if err != nil {
		undoBriefly(func() { // it may have been written
			for _, id := range a.requested {
				s.revoke(id)
			}
		})
		return nil, err
	}
	return a, nil
}

// begin adopts the lease as it is now.
func (a *adoption) begin(ctx context.Context, id string) error {
	found, err := a.s.find(ctx, id)
	switch {
	case err != nil:
		return err
	case !found.holds.exists():
		return lease.WaitsError(id)
	case !found.holds.value.Kept:
		return fmt.Errorf("%s: %w", id, lease.ErrNotKept)
	}
	a.pool, a.lease = found.pool, found.holds.value
	a.lease.Adopter = &a.adopter
	a.mail.noteRead(a.s.Clock())
	err = a.take(ctx, holderKeys{record: found.holds.KeyValue, adoption: found.adoption}, a.ttl(0))
	if errors.Is(err, lease.ErrLost) {
		return fmt.Errorf("%s: %w", id, lease.ErrNotFound)
	}
	return err
}

// take writes the adoption, or finds that an earlier attempt has, whose answer was lost.
// *lease.AdoptedError when another process has adopted the lease, lease.ErrLost when it is gone,
// or was adopted by another one since we had it.
func (a *adoption) take(ctx context.Context, keys holderKeys, ttl time.Duration) error {
	l := a.Lease()
	key, record, last := a.pool.adoptionKey(l.ID), a.pool.leaseKey(l.ID), a.pool.adoptedKey(l.ID)
	for {
		by := adoptionIn(keys.adoption)
		switch {
		case !keys.heldBy(l.Token), a.rev != 0 && by == nil && keys.last != nil && string(keys.last.Value) != encode(a.adopter):
			return lease.ErrLost
		case by != nil && by.Adopter != a.adopter:
			return by.refusal(l.ID)
		}
		on, under, err := a.leases(ctx, keys, ttl)
		if err != nil {
			return err
		}
		if by != nil {
			a.noteTaken(on, under, keys.adoption.CreateRevision)
			return nil
		}
		t := txn{
			when: []clientv3.Cmp{sameAs(record, int64(l.Token)), attachedTo(record, under.id), attachedTo(key, 0)},
			then: []clientv3.Op{
				clientv3.OpPut(key, a.value(ttl), clientv3.WithLease(on.id)),
				clientv3.OpPut(last, encode(a.adopter), clientv3.WithLease(under.id)),
			},
			other: []clientv3.Op{clientv3.OpGet(record), clientv3.OpGet(key), clientv3.OpGet(last)},
		}
		if a.rev != 0 {
			t.when = append(t.when, unchanged(last, keys.lastRev()))
		}
		resp, err := a.s.commit(ctx, t)
		switch {
		case err != nil:
			return err
		case resp.Succeeded:
			a.noteTaken(on, under, resp.Header.Revision)
			return nil
		}
		keys = holderKeys{record: only(kvs(resp.Responses[0])), adoption: only(kvs(resp.Responses[1])), last: only(kvs(resp.Responses[2]))}
	}
}

// leases renews the etcd leases of our adoption and of the record. Without an adoption it
// requests an etcd lease for one.
func (a *adoption) leases(ctx context.Context, keys holderKeys, ttl time.Duration) (on, under etcdLease, err error) {
	if by := adoptionIn(keys.adoption); by != nil {
		on = etcdLease{id: clientv3.LeaseID(keys.adoption.Lease), wanted: by.TTL}
		a.noteRequested(on.id)
		err = a.s.renewFound(ctx, &on)
	} else if on, err = a.s.grantLease(ctx, ttl); err == nil {
		a.noteRequested(on.id)
	}
	if err == nil {
		under.id = keys.on()
		err = a.s.renewFound(ctx, &under)
	}
	return on, under, err
}
