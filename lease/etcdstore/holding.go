package etcdstore

import (
	"context"
	"errors"
	"strings"
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

	mu    sync.Mutex
	lease lease.Lease
	on    etcdLease
	gone  bool
	// expiresBy bounds the expiry while the record is moved to a shorter etcd lease; 0:
	// it is not being moved.
	expiresBy clock.Instant
	// keepalive is when the job last called, by the record of revision keepaliveRev. read
	// is when we last read the record before that one.
	keepalive, read clock.Instant
	keepaliveRev    int64
	former          []clientv3.LeaseID // etcd leases it was attached to before; a message to it may still be
	// scanFirst: many holders were there when it was granted, and no waiter. Then a
	// release first reads whether there is a waiter.
	scanFirst bool
}

// adopt is the holding of a record that is there already, because the answer to our
// request was lost. Its expiry is known after a renewal.
func (s *Store) adopt(ctx context.Context, p pool, had record[lease.Lease]) (*holding, error) {
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
	if h.expiresBy > 0 {
		return min(h.expiresBy, h.on.expires())
	}
	return h.on.expires()
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
	h.read = h.s.Clock() // a caller of Keepalive was started after this
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
	l, attached, gone := h.lease, h.on, h.gone
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
	case on != attached.id: // it was moved, and the answer was lost
		attached.id, attached.wanted = on, 0
		serr = h.s.renewLease(ctx, &attached)
	case errors.Is(serr, lease.ErrLost):
		// The record is there, and it would have been deleted with its etcd lease. So the
		// member became leader a moment ago and has not applied our earlier renewals yet.
		serr = &lease.UnreachableError{Store: h.s.name, Answers: true, Err: serr}
	}
	if serr != nil {
		return signs, serr
	}
	h.mu.Lock()
	h.on, h.expiresBy = attached, 0
	h.mu.Unlock()
	_ = h.recordChild(ctx)
	return signs, nil
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
func (h *holding) inbox(ctx context.Context, l lease.Lease) (signs lease.Inbox, on clientv3.LeaseID, err error) {
	begun := h.s.Clock()
	resp, err := h.s.commit(ctx, txn{then: []clientv3.Op{clientv3.OpGet(h.pool.holder(l.ID), clientv3.WithPrefix())}})
	if err != nil {
		return signs, 0, err
	}
	for _, kv := range kvs(resp.Responses[0]) {
		switch key := string(kv.Key); {
		case strings.HasSuffix(key, "/lease"):
			if kv.CreateRevision == int64(l.Token) {
				on = clientv3.LeaseID(kv.Lease)
			}
		case strings.HasSuffix(key, "/stop"):
			if s, err := decode[lease.Stop](kv); err == nil {
				signs.Stop = &s.value
			}
		case strings.HasSuffix(key, "/keepalive"):
			if k, err := decode[clock.Instant](kv); err == nil {
				signs.Keepalive = h.keepaliveAt(k)
			}
		}
	}
	h.mu.Lock()
	h.read = max(h.read, begun)
	h.mu.Unlock()
	if on == 0 {
		return signs, 0, lease.ErrLost
	}
	return signs, on, nil
}

// keepaliveAt is when the job called, on our clock: after the last read, and not in the
// future. A record that says otherwise was written by another clock, or by ours before it
// was set. It counts as now, because a busy job must not be ended.
func (h *holding) keepaliveAt(k record[clock.Instant]) clock.Instant {
	h.mu.Lock()
	defer h.mu.Unlock()
	if k.rev() != h.keepaliveRev {
		now := h.s.Clock()
		h.keepaliveRev, h.keepalive = k.rev(), k.value
		if k.value < h.read || k.value > now {
			h.keepalive = now
		}
	}
	return h.keepalive
}

// moveTo attaches the records to an etcd lease of another TTL. etcd cannot change the TTL
// of a lease.
func (h *holding) moveTo(ctx context.Context, ttl time.Duration) error {
	other, err := h.s.grantLease(ctx, ttl)
	if err != nil {
		return err
	}
	l := h.Lease()
	mine, err := h.s.commit(ctx, txn{then: []clientv3.Op{clientv3.OpGet(h.pool.holder(l.ID), clientv3.WithPrefix())}})
	if err != nil {
		return err
	}
	key := h.pool.leaseKey(l.ID)
	t := txn{when: []clientv3.Cmp{h.ours(l)}, other: []clientv3.Op{clientv3.OpGet(key)}}
	for _, kv := range kvs(mine.Responses[0]) {
		value := string(kv.Value)
		if string(kv.Key) == key {
			value = encode(l)
			// A frozen member may apply this late. It must not undo what was written
			// since.
			t.when = append(t.when, clientv3.Compare(clientv3.LeaseValue(key), "=", kv.Lease))
		}
		t.then = append(t.then, clientv3.OpPut(string(kv.Key), value, clientv3.WithLease(other.id)))
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
			return &lease.UnreachableError{Store: h.s.name, Answers: true, Err: errors.New("the lease was moved again")}
		}
	}
	h.mu.Lock()
	h.former = append(h.former, h.on.id)
	h.on, h.expiresBy = other, 0
	h.mu.Unlock()
	return nil
}
