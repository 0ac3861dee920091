package etcdstore

import (
	"context"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/lease"
	"berth/lease/clock"
)

// A pool without settings is deleted after a week without use: CI makes a pool for every
// run, and should not have to clean up. Holders and waiters end with their etcd
// leases; the starts and the report remain. Once a day a berth that has just released its
// slots reads some of the pools, and another one reads more a minute later, until all
// were read. The read that a release needs anyway tells when that is due.
//
// A pool is deleted only if none of its keys was written since it was read. A berth that
// grants in it at that moment has either written a key, or finds the starts gone and
// reads again.

const (
	sweepSoon   = time.Minute     // when there is more to read
	sweepWithin = time.Second / 2 // bounds what it costs the berth that sweeps

	someKeys  = 1000 // read at once
	somePools = 100  // deleted at once: fewer than etcd takes in one transaction
)

// sweepRecord is the record of the last sweep.
type sweepRecord struct {
	At   clock.Instant `json:"at_ns"`          // by the clock of the machine that swept
	From string        `json:"from,omitempty"` // the key to continue at; "": all were read
}

// sweptKey is beside the pools.
func (s *Store) sweptKey() string { return strings.TrimSuffix(s.dir, "pools/") + "swept" }

// atLeastApart reports whether two moments are at least d apart. A moment in the
// future counts too: the clock was set.
func atLeastApart(a, b clock.Instant, d time.Duration) bool { return a.Sub(b).Abs() >= d }

// sweep deletes idle pools if that is due, by what the last release read. A failure does
// not matter: the next sweep repeats it.
func (s *Store) sweep() {
	last := s.swept.Swap(nil)
	if last == nil || !atLeastApart(s.wallClock(), last.value.At, s.timings.Sweep) {
		return
	}
	ctx, cancel := context.WithTimeout(s.client.Ctx(), sweepWithin)
	defer cancel()
	from := last.value.From
	if !strings.HasPrefix(from, s.dir) {
		from = s.dir
	}
	resp, err := s.commit(ctx, txn{then: []clientv3.Op{clientv3.OpGet(from,
		clientv3.WithRange(clientv3.GetPrefixRangeEnd(s.dir)), clientv3.WithLimit(someKeys), clientv3.WithSerializable())}})
	if err != nil {
		return
	}
	idle, next := s.idle(kvs(resp.Responses[0]), resp.Responses[0].GetResponseRange().More)
	now := sweepRecord{At: s.wallClock(), From: next}
	if next != "" {
		now.At = now.At.Add(-max(0, s.timings.Sweep-sweepSoon))
	}
	t := txn{
		when: []clientv3.Cmp{unchanged(s.sweptKey(), last.rev())}, // of several that read, one deletes
		then: []clientv3.Op{clientv3.OpPut(s.sweptKey(), encode(now))},
	}
	for _, p := range idle {
		as := clientv3.Compare(clientv3.ModRevision(p.dir).WithPrefix(), "<", resp.Header.Revision+1)
		t.then = append(t.then, clientv3.OpTxn([]clientv3.Cmp{as}, []clientv3.Op{clientv3.OpDelete(p.dir, clientv3.WithPrefix())}, nil))
	}
	_, _ = s.commit(ctx, t)
}

// idle are the idle pools among these keys, and the key to continue at. The keys of the
// last pool may be incomplete.
func (s *Store) idle(keys []*mvccpb.KeyValue, more bool) (pools []pool, next string) {
	for len(keys) > 0 {
		name, _, _ := strings.Cut(strings.TrimPrefix(string(keys[0].Key), s.dir), "/")
		p := pool{name, s.dir + name + "/"}
		n := 1
		for n < len(keys) && strings.HasPrefix(string(keys[n].Key), p.dir) {
			n++
		}
		last := more && n == len(keys)
		switch {
		case last && n == someKeys: // it is large, so it is in use
			return pools, clientv3.GetPrefixRangeEnd(p.dir)
		case last, len(pools) == somePools:
			return pools, string(keys[0].Key)
		case s.isIdle(p, keys[:n]):
			pools = append(pools, p)
		}
		keys = keys[n:]
	}
	return pools, ""
}

// isIdle reports whether a pool has no holder, no waiter, no settings, and no start that
// still counts.
func (s *Store) isIdle(p pool, keys []*mvccpb.KeyValue) bool {
	var used clock.Instant
	for _, kv := range keys {
		switch string(kv.Key) {
		case p.grantsKey():
			g, _ := decode[lease.Starts](kv)
			if g.value.StillCount(s.wallClock()) {
				return false
			}
			used = max(used, g.value.LastUse, g.value.Last)
		case p.reportKey():
			r, _ := decode[lease.Report](kv)
			used = max(used, r.value.At)
		default:
			return false
		}
	}
	return atLeastApart(s.wallClock(), used, s.timings.Forget)
}
