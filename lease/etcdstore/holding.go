package etcdstore

import (
	"context"
	"errors"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/lease"
	"berth/lease/clock"
	"berth/lease/retry"
)

type holding struct {
	s    *Store
	pool pool
	mail mail

	mu    sync.Mutex
	lease lease.Lease
	on    etcdLease
	gone  bool
	// expiresBy bounds the expiry while the record is moved to a shorter etcd lease; 0:
	// it is not being moved.
	expiresBy clock.Instant
	// lengthened: an adopter has attached the record to an etcd lease of a longer TTL, and
	// may shorten that again to no less than the TTL of the request.
	lengthened bool
	former     []clientv3.LeaseID // etcd leases it was attached to before; a message to it may still be
	// scanFirst: many holders were there when it was granted, and no waiter. Then a
	// release first reads whether there is a waiter.
	scanFirst bool
}

// holdingOf is the holding of a record that is there already, because the answer to our
// request was lost. Its expiry is known after a renewal.
func (s *Store) holdingOf(ctx context.Context, p pool, had record[lease.Lease]) (*holding, error) {
	h := &holding{s: s, pool: p, lease: had.value}
	h.on = etcdLease{id: clientv3.LeaseID(had.Lease), wanted: had.value.TTL}
	return h, s.renewLease(ctx, &h.on)
}

func (h *holding) Lease() lease.Lease {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lease
}

func (h *holding) Expires() clock.Instant {
	h.mu.Lock()
	defer h.mu.Unlock()
	expires := h.on.expires()
	if h.lengthened {
		expires = min(expires, h.on.renewed.Add(h.lease.TTL))
	}
	if h.expiresBy > 0 {
		expires = min(expires, h.expiresBy)
	}
	return expires
}

// ours compares true while the record is the lease that we were granted.
func (h *holding) ours(l lease.Lease) clientv3.Cmp {
	return sameAs(h.pool.leaseKey(l.ID), int64(l.Token))
}

// Running does not wait for etcd, because only people read what it records, and the job
// must not start later for it. If it fails, the next Renew repeats it.
func (h *holding) Running(_ context.Context, child lease.Process) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lease.Child, h.lease.State = &child, lease.Running
	h.mail.noteRead(h.s.Clock()) // a caller of keepalive was started after this
	h.s.unrecorded.Add(h, func() { _ = h.recordChild(h.s.client.Ctx()) })
	return nil
}

// recordChild writes the lease again with its child. After a release there is no record
// to write to, however late the write arrives.
func (h *holding) recordChild(ctx context.Context) error {
	h.mu.Lock()
	l, gone := h.lease, h.gone
	h.mu.Unlock()
	if gone || !h.s.unrecorded.Has(h) {
		return nil
	}
	_, err := h.s.commit(ctx, txn{
		when: []clientv3.Cmp{h.ours(l)},
		then: []clientv3.Op{clientv3.OpPut(h.pool.leaseKey(l.ID), encode(l), clientv3.WithIgnoreLease())},
	})
	if err == nil {
		h.s.unrecorded.Remove(h)
	}
	return err
}

// Renew writes a heartbeat and reads the inbox, both at once. It retries until ctx ends
// or for attemptTimeout.
func (h *holding) Renew(ctx context.Context, ttl time.Duration) (signs lease.Inbox, err error) {
	short, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	err = retry.Do(short, nil, func(short context.Context) (err error) {
		signs, err = h.renew(short, ttl)
		return err
	})
	return signs, err
}

func (h *holding) renew(ctx context.Context, ttl time.Duration) (lease.Inbox, error) {
	h.mu.Lock()
	l, attached, gone, lengthened := h.lease, h.on, h.gone, h.lengthened
	h.mu.Unlock()
	if gone {
		return lease.Inbox{}, lease.ErrLost
	}
	if ttl <= 0 {
		ttl = l.TTL
	}
	if ttl > 0 && wholeSeconds(ttl) != wholeSeconds(attached.wanted) {
		if err := h.moveTo(ctx, ttl); err != nil {
			return lease.Inbox{}, err
		}
		signs, _, err := h.inbox(ctx, l)
		return signs, err
	}
	signed := make(chan error, 1)
	go func() {
		err := h.s.renewLease(ctx, &attached)
		if err == nil {
			h.noteRenewal(attached)
		}
		signed <- err
	}()
	signs, on, err := h.inbox(ctx, l)
	serr := <-signed
	switch {
	case err != nil:
		return signs, err
	case on != attached.id: // an adopter moved it, or we did and the answer was lost
		attached.id, attached.wanted = on, 0
		serr = h.s.renewFound(ctx, &attached)
		if lengthened = signs.Adopter != nil && attached.ttl >= ttl; lengthened {
			attached.wanted = ttl
		}
	default:
		serr = h.s.foundLost(serr)
	}
	if serr != nil {
		return signs, serr
	}
	h.noteAttached(attached, lengthened)
	if lengthened && signs.Adopter == nil {
		return signs, h.moveTo(ctx, ttl) // the adopter has not undone it
	}
	_ = h.recordChild(ctx)
	return signs, nil
}

func (h *holding) noteAttached(on etcdLease, lengthened bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.on.id != on.id {
		h.former = append(h.former, h.on.id)
	}
	h.on, h.expiresBy, h.lengthened = on, 0, lengthened
}

// noteRenewal counts a renewal at once. The inbox may arrive late, or never while the
// other members have no leader, and that is no reason to give up the lease. It does not
// count while it is uncertain which etcd lease the record is attached to.
func (h *holding) noteRenewal(l etcdLease) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.expiresBy == 0 && h.on.id == l.id && l.renewed > h.on.renewed {
		h.on = l
	}
}

// inbox reads the messages to this holder, and which etcd lease its record is attached
// to.
func (h *holding) inbox(ctx context.Context, l lease.Lease) (in lease.Inbox, on clientv3.LeaseID, err error) {
	in, keys, err := h.mail.read(ctx, h.s, h.pool, l.ID)
	switch {
	case err != nil:
		return in, 0, err
	case !keys.heldBy(l.Token):
		return in, 0, lease.ErrLost
	}
	if by := adoptionIn(keys.adoption); by != nil {
		in.Adopter = &by.Adopter
	}
	return in, keys.on(), nil
}

// moveTo attaches the records to an etcd lease of another TTL, or of that of the adoption if
// it is longer. etcd cannot change the TTL of a lease.
func (h *holding) moveTo(ctx context.Context, ttl time.Duration) error {
	l := h.Lease()
	_, keys, err := h.mail.read(ctx, h.s, h.pool, l.ID)
	if err != nil {
		return err
	}
	if !keys.heldBy(l.Token) {
		return lease.ErrLost
	}
	other, err := h.s.grantLease(ctx, max(ttl, adoptionIn(keys.adoption).ttl()))
	if err != nil {
		return err
	}
	key := h.pool.leaseKey(l.ID)
	t := txn{
		// A frozen member may apply this late. It must not undo what was written since.
		when:  []clientv3.Cmp{h.ours(l), attachedTo(key, keys.on())},
		then:  append(keys.moved(other.id), clientv3.OpPut(key, encode(l), clientv3.WithLease(other.id))),
		other: []clientv3.Op{clientv3.OpGet(key)},
	}
	if l.Kept {
		t.when = append(t.when, keys.sameAdoption(h.pool.adoptionKey(l.ID)))
	}
	h.mu.Lock()
	h.expiresBy = other.expires() // from now on, whether we see the answer or not
	h.mu.Unlock()
	resp, err := h.s.commit(ctx, t)
	switch {
	case err != nil:
		return err
	case !resp.Succeeded:
		if kv := only(kvs(resp.Responses[0])); kv == nil || kv.CreateRevision != int64(l.Token) {
			h.s.discard(other.id)
			return lease.ErrLost
		} else if kv.Lease != int64(other.id) { // applied twice, or there was another move
			return h.s.movedAgain()
		}
	}
	longer := other.wanted > ttl // than we need, for the adopter
	other.wanted = ttl
	h.noteAttached(other, longer)
	return nil
}

// movedAgain is the error of a step that another process was faster than.
func (s *Store) movedAgain() error {
	return &lease.UnreachableError{Store: s.name, Answers: true, Err: errors.New("the lease was moved again")}
}
