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

// A pool without settings goes by our own hand when nobody has used it for a week: CI
// makes one for every run, and nobody should have to clean up. Holders and waiters end
// with their lives; what stays are the starts and the report. Once a day a holder that
// has given its slots back looks at some of the pools, and another at more a minute later,
// until all were seen. The look that a release takes anyway tells when it is time.
//
// A pool is deleted only if none of its keys was written since it was read: who grants in
// it at that moment has either written, or finds the starts gone and looks again.

const (
	sweepSoon   = time.Minute     // when there was more to look at
	sweepWithin = time.Second / 2 // a holder may look for so long

	someKeys  = 1000 // are read at once
	somePools = 100  // are forgotten at once: less than etcd takes in one transaction
)

// sweepRecord is the record of the last look for such pools.
type sweepRecord struct {
	At   clock.Instant `json:"at_ns"`          // on the clock of who looked
	From string        `json:"from,omitempty"` // the key to go on at; "": all were seen
}

// sweptKey is beside the pools.
func (s *Store) sweptKey() string { return strings.TrimSuffix(s.dir, "pools/") + "swept" }

// atLeastApart reports whether two instants are so far from each other. One that is still to
// come counts as well: somebody has set a clock.
func atLeastApart(a, b clock.Instant, d time.Duration) bool { return a.Sub(b).Abs() >= d }

// sweep forgets pools if it is time, by what the last release has read. That it fails is
// no news to anybody.
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
		when: []clientv3.Cmp{unchanged(s.sweptKey(), last.rev())}, // of several who look, one forgets
		then: []clientv3.Op{clientv3.OpPut(s.sweptKey(), encode(now))},
	}
	for _, p := range idle {
		as := clientv3.Compare(clientv3.ModRevision(p.dir).WithPrefix(), "<", resp.Header.Revision+1)
		t.then = append(t.then, clientv3.OpTxn([]clientv3.Cmp{as}, []clientv3.Op{clientv3.OpDelete(p.dir, clientv3.WithPrefix())}, nil))
	}
	_, _ = s.commit(ctx, t)
}

// idle are the pools of these keys that may go, and the key to go on at. Of the last
// pool there may be more to read.
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

// isIdle: there is nobody in it, it has no settings, and no start counts any more.
func (s *Store) isIdle(p pool, keys []*mvccpb.KeyValue) bool {
	var used clock.Instant
	for _, kv := range keys {
		switch string(kv.Key) {
		case p.grantsKey():
			g, _ := decode[lease.Starts](kv)
			if g.value.Hold(s.wallClock()) {
				return false
			}
			used = max(used, g.value.Used, g.value.Last)
		case p.reportKey():
			r, _ := decode[lease.Report](kv)
			used = max(used, r.value.At)
		default:
			return false
		}
	}
	return atLeastApart(s.wallClock(), used, s.timings.Forget)
}
