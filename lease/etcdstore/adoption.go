package etcdstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/lease"
	"berth/lease/clock"
	"berth/lease/retry"
)

// adoption is the lease.Holding of an adopter.
type adoption struct {
	s       *Store
	pool    pool
	adopter lease.Process
	mail    mail

	// turn is held by one step at a time: a renewal that adopts the lease again must not
	// come after the release. It guards requested, rev and lengthened.
	turn      chan struct{}
	requested []clientv3.LeaseID // the etcd leases for its key
	rev       int64              // at which the key was created
	// lengthened are the etcd leases that we may have attached the record to, because that of
	// the keeper was shorter than the adoption.
	lengthened []clientv3.LeaseID

	mu        sync.Mutex
	lease     lease.Lease
	on, under etcdLease // of the key, and of the record
	gone      bool
	expiresBy clock.Instant // as in holding
}

// inTurn calls f when no other step is under way.
func (a *adoption) inTurn(ctx context.Context, f func() error) error {
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-a.turn }()
	return f()
}

// value is that of the key.
func (a *adoption) value(ttl time.Duration) string {
	return encode(adopted{Adopter: a.adopter, Child: a.Lease().Child, TTL: ttl})
}

func (a *adoption) noteTaken(on, under etcdLease, rev int64) {
	a.rev = rev
	a.mu.Lock()
	defer a.mu.Unlock()
	a.on, a.under, a.expiresBy = on, under, 0
}

func (a *adoption) Lease() lease.Lease {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lease
}

// Expires implements lease.Holding. After the end of the adoption another process may have
// the lease, and after that of the record another job its slots.
func (a *adoption) Expires() clock.Instant {
	a.mu.Lock()
	defer a.mu.Unlock()
	expires := min(a.on.expires(), a.under.expires())
	if a.expiresBy > 0 {
		expires = min(expires, a.expiresBy)
	}
	return expires
}

// recordWithin is how long a job that has just started waits for its record.
const recordWithin = time.Second / 4

// Running records the child at once: the keeper and other adopters are told of it. If that
// fails, the next Renew repeats it.
func (a *adoption) Running(ctx context.Context, child lease.Process) error {
	a.mu.Lock()
	gone := a.gone
	if !gone {
		a.lease.Child, a.lease.State = &child, lease.Running
	}
	a.mu.Unlock()
	if gone {
		return lease.ErrLost
	}
	a.mail.noteRead(a.s.Clock())
	a.s.unrecorded.Add(a, func() { _ = a.recordChild(a.s.client.Ctx()) })
	short, cancel := context.WithTimeout(ctx, recordWithin)
	defer cancel()
	_ = a.recordChild(short)
	return nil
}

// recordChild writes the key again with the child. What it does not write, because the key
// is on another etcd lease now, the next Renew writes.
func (a *adoption) recordChild(ctx context.Context) error {
	return a.inTurn(ctx, func() error { return a.writeChild(ctx) })
}

func (a *adoption) writeChild(ctx context.Context) error {
	a.mu.Lock()
	on, gone := a.on, a.gone
	a.mu.Unlock()
	if gone || !a.s.unrecorded.Has(a) {
		return nil
	}
	key := a.pool.adoptionKey(a.Lease().ID)
	resp, err := a.s.commit(ctx, txn{
		when: []clientv3.Cmp{sameAs(key, a.rev), attachedTo(key, on.id)},
		then: []clientv3.Op{clientv3.OpPut(key, a.value(on.wanted), clientv3.WithIgnoreLease())},
	})
	if err == nil && resp.Succeeded {
		a.s.unrecorded.Remove(a)
	}
	return err
}

// Renew keeps the adoption and the lease. It adopts the lease again if the adoption has
// lapsed and no other process has adopted it.
func (a *adoption) Renew(ctx context.Context, ttl time.Duration) (in lease.Inbox, err error) {
	short, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	err = retry.Do(short, nil, func(ctx context.Context) error {
		return a.inTurn(ctx, func() (err error) {
			in, err = a.renew(ctx, a.ttl(ttl))
			return err
		})
	})
	return in, err
}

// ttl is what a Renew for ttl wants.
func (a *adoption) ttl(ttl time.Duration) time.Duration {
	return cmp.Or(max(ttl, 0), a.Lease().TTL, lease.DefaultTTL)
}

func (a *adoption) renew(ctx context.Context, ttl time.Duration) (in lease.Inbox, err error) {
	a.mu.Lock()
	l, on, under, gone := a.lease, a.on, a.under, a.gone
	a.mu.Unlock()
	if gone {
		return in, lease.ErrLost
	}
	renewed := [2]<-chan error{a.heartbeat(ctx, &on), a.heartbeat(ctx, &under)}
	in, keys, err := a.mail.read(ctx, a.s, a.pool, l.ID)
	in.Release = false // that is for the keeper
	failed := [2]error{<-renewed[0], <-renewed[1]}
	by := adoptionIn(keys.adoption)
	switch {
	case err != nil:
		return in, err
	case !keys.heldBy(l.Token):
		return in, lease.ErrLost
	case by == nil || by.Adopter != a.adopter:
		err = a.take(ctx, keys, ttl)
		if errors.As(err, new(*lease.AdoptedError)) {
			err = lease.ErrLost
		}
		return in, err
	}
	for i, found := range []struct {
		*etcdLease
		on clientv3.LeaseID
	}{{&on, clientv3.LeaseID(keys.adoption.Lease)}, {&under, keys.on()}} {
		if found.id == found.on {
			failed[i] = a.s.foundLost(failed[i])
			continue
		}
		// The keeper has moved it, or we have and the answer was lost.
		*found.etcdLease = etcdLease{id: found.on, wanted: by.TTL}
		failed[i] = a.s.renewFound(ctx, found.etcdLease)
	}
	if err := cmp.Or(failed[0], failed[1]); err != nil {
		return in, err
	}
	a.noteTaken(on, under, keys.adoption.CreateRevision)
	if a.mustMove(ttl, on, under) {
		return in, a.move(ctx, keys, ttl)
	}
	_ = a.writeChild(ctx)
	return in, nil
}

// heartbeat renews an etcd lease while something else is done. A renewal counts at once, as
// that of a holding does.
func (a *adoption) heartbeat(ctx context.Context, l *etcdLease) <-chan error {
	done := make(chan error, 1)
	go func() {
		err := a.s.renewLease(ctx, l)
		if err == nil {
			a.noteRenewal(*l)
		}
		done <- err
	}()
	return done
}

func (a *adoption) noteRenewal(l etcdLease) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, mine := range []*etcdLease{&a.on, &a.under} {
		if a.expiresBy == 0 && mine.id == l.id && l.renewed > mine.renewed {
			*mine = l
		}
	}
}

// mustMove reports whether the TTL changes, or that of the record is too short.
func (a *adoption) mustMove(ttl time.Duration, on, under etcdLease) bool {
	return wholeSeconds(ttl) != wholeSeconds(on.wanted) || under.ttl < on.ttl
}

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
	a.requested = append(a.requested, on.id)
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
	l, under, gone := a.lease, a.under, a.gone
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
	if slices.Contains(a.lengthened, under.id) && tries < handOverTries {
		_, keys, err := a.mail.read(ctx, a.s, a.pool, l.ID)
		if err != nil {
			return err
		}
		if keys.heldBy(l.Token) && keys.on() == under.id {
			_, shorter, err := a.moveRecord(ctx, keys, a.ttl(0))
			if err != nil {
				return err
			}
			t.when, t.then = append(t.when, shorter.when...), append(t.then, shorter.then...)
		}
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
	a.mu.Lock()
	a.gone = true
	a.mu.Unlock()
	return nil
}
