package etcdstore

import (
	"context"
	"slices"
	"strings"
	"sync"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/lease"
	"berth/lease/clock"
)

// mail is what a holder was told, as its heartbeats read it.
type mail struct {
	mu sync.Mutex
	// keepalive is when the job last called, by the record of revision keepaliveRev. since
	// is when we last read the record before that one.
	keepalive, since clock.Instant
	keepaliveRev     int64
}

// holderKeys are the keys of a holder, as one read found them.
type holderKeys struct {
	record   *mvccpb.KeyValue // nil: it is no holder any more
	adoption *mvccpb.KeyValue // nil: nobody has adopted it
	last     *mvccpb.KeyValue // the last adopter, and one of the others; nil: nobody has ever adopted it
	others   []*mvccpb.KeyValue
}

// read reads all keys of a holder: the messages to it, and what its records are attached to.
func (m *mail) read(ctx context.Context, s *Store, p pool, id string) (in lease.Inbox, keys holderKeys, err error) {
	begun := s.Clock()
	resp, err := s.commit(ctx, txn{then: []clientv3.Op{clientv3.OpGet(p.holder(id), clientv3.WithPrefix())}})
	if err != nil {
		return in, keys, err
	}
	for _, kv := range kvs(resp.Responses[0]) {
		switch kind := strings.TrimPrefix(string(kv.Key), p.holder(id)); kind {
		case "lease":
			keys.record = kv
			continue
		case adoptionKind:
			if kv.Lease != 0 {
				keys.adoption = kv
			}
			continue
		case adoptedKind:
			keys.last = kv
		case string(lease.MessageStop):
			if s, err := decode[lease.Stop](kv); err == nil {
				in.Stop = &s.value
			}
		case string(lease.MessageRelease):
			in.Release = true
		case string(lease.MessageKeepalive):
			if k, err := decode[clock.Instant](kv); err == nil {
				in.Keepalive = m.keepaliveAt(k, s.Clock())
			}
		}
		keys.others = append(keys.others, kv)
	}
	m.noteRead(begun)
	return in, keys, nil
}

// noteRead notes that a job that calls from now on calls after this.
func (m *mail) noteRead(at clock.Instant) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.since = max(m.since, at)
}

// keepaliveAt is when the job called, on our clock: after the last read, and not in the
// future. A record that says otherwise was written by another clock, or by ours before it
// was set. It counts as now, because a busy job must not be ended.
func (m *mail) keepaliveAt(k record[clock.Instant], now clock.Instant) clock.Instant {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k.rev() != m.keepaliveRev {
		m.keepaliveRev, m.keepalive = k.rev(), k.value
		if k.value < m.since || k.value > now {
			m.keepalive = now
		}
	}
	return m.keepalive
}

// heldBy reports whether the record is the lease of that token.
func (k holderKeys) heldBy(token uint64) bool {
	return k.record != nil && k.record.CreateRevision == int64(token)
}

// lastRev is when the key of the last adopter was written; 0: it was not.
func (k holderKeys) lastRev() int64 {
	if k.last == nil {
		return 0
	}
	return k.last.ModRevision
}

// on is the etcd lease that the record is attached to.
func (k holderKeys) on() clientv3.LeaseID { return clientv3.LeaseID(k.record.Lease) }

// use reports whether a key is attached to that etcd lease.
func (k holderKeys) use(on clientv3.LeaseID) bool {
	return k.record != nil && k.on() == on ||
		slices.ContainsFunc(k.others, func(kv *mvccpb.KeyValue) bool { return clientv3.LeaseID(kv.Lease) == on })
}

// moved attaches the messages and the claim to another etcd lease. What was written since
// the read stays as it is: a message that came in between must not be undone.
func (k holderKeys) moved(to clientv3.LeaseID) (ops []clientv3.Op) {
	for _, kv := range k.others {
		put := clientv3.OpPut(string(kv.Key), string(kv.Value), clientv3.WithLease(to))
		ops = append(ops, clientv3.OpTxn([]clientv3.Cmp{unchanged(string(kv.Key), kv.ModRevision)}, []clientv3.Op{put}, nil))
	}
	return ops
}
