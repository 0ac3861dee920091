package etcdstore

import (
	"cmp"
	"context"
	"errors"
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

func (a *adoption) noteRequested(on clientv3.LeaseID) {
	if !slices.Contains(a.requested, on) {
		a.requested = append(a.requested, on)
	}
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
	onRenewed, underRenewed := a.heartbeat(ctx, &on), a.heartbeat(ctx, &under)
	in, keys, err := a.mail.read(ctx, a.s, a.pool, l.ID)
	in.Release = false // that is for the keeper
	onErr, underErr := <-onRenewed, <-underRenewed
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
	if err := cmp.Or(
		a.follow(ctx, &on, onErr, clientv3.LeaseID(keys.adoption.Lease), by.TTL),
		a.follow(ctx, &under, underErr, keys.on(), 0),
	); err != nil {
		return in, err
	}
	a.noteTaken(on, under, keys.adoption.CreateRevision)
	if wholeSeconds(ttl) != wholeSeconds(on.wanted) || under.ttl < on.ttl {
		return in, a.move(ctx, keys, ttl)
	}
	_ = a.writeChild(ctx)
	return in, nil
}

// follow renews the etcd lease that a key was found on, if that is not the one whose renewal
// has ended with err: the keeper has moved the key, or we have and the answer was lost.
func (a *adoption) follow(ctx context.Context, l *etcdLease, err error, on clientv3.LeaseID, wanted time.Duration) error {
	if l.id == on {
		return a.s.foundLost(err)
	}
	*l = etcdLease{id: on, wanted: wanted}
	return a.s.renewFound(ctx, l)
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
