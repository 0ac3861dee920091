package etcdstore

import (
	"context"
	"slices"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/lease"
)

// snapshot is a pool at one revision, without its line.
type snapshot struct {
	pool
	rev     int64
	holders []holder
	own     record[lease.Settings]
	grants  record[lease.Starts]
}

// holder is the key of a holder's record, without the value.
type holder struct {
	*mvccpb.KeyValue
	id string // as it is in keys
	claim
	// bad is why its slots are not known; it counts as one slot then.
	bad error
	// unread: its keys do not name its slots.
	unread bool
}

func (h holder) used() int {
	if h.bad != nil {
		return 1
	}
	return len(h.slots)
}

// reading reads what every decision needs. Further reads come after it.
func (p pool) reading(how ...clientv3.OpOption) []clientv3.Op {
	names := append(slices.Clone(how), clientv3.WithPrefix(), clientv3.WithKeysOnly())
	return []clientv3.Op{
		clientv3.OpGet(p.holders(), names...),
		clientv3.OpGet(p.ownKey(), how...),
		clientv3.OpGet(p.grantsKey(), how...),
	}
}

// readings is the number of answers to reading.
const readings = 3

// snapshotOf also reads the records of holders whose keys do not name their slots. It
// reads them later than the rest, and that does no harm: a holder that has gone since is
// one less, and one that has come since has written the grants, which every decision
// rests on. But it must not read from a member that lags behind, which may not have a
// record yet.
func (s *Store) snapshotOf(ctx context.Context, p pool, rev int64, rs []*pb.ResponseOp) (*snapshot, error) {
	l, err := p.parse(rev, rs)
	if err != nil {
		return nil, err
	}
	if err = s.read(ctx, l); err == nil {
		s.reportDamaged(ctx, l)
	}
	return l, err
}

// parse takes what the keys tell.
func (p pool) parse(rev int64, rs []*pb.ResponseOp) (*snapshot, error) {
	l := &snapshot{pool: p, rev: rev, holders: p.list(kvs(rs[0]))}
	var err error
	if l.own, err = decode[lease.Settings](only(kvs(rs[1]))); err != nil {
		return nil, err
	}
	l.own.value.UID = -1
	// Damaged starts are ignored: the next grant writes them again.
	l.grants, _ = decode[lease.Starts](only(kvs(rs[2])))
	return l, nil
}

// list are the holders that these keys name. Keys are sorted, so the key with a holder's
// slots comes after that of its record.
func (p pool) list(keys []*mvccpb.KeyValue) []holder {
	all := make([]holder, 0, (len(keys)+1)/2)
	before := len(p.holders())
	for _, kv := range keys {
		id, kind, _ := strings.Cut(string(kv.Key[before:]), "/")
		if kind == "lease" {
			all = append(all, holder{KeyValue: kv, id: id, unread: true})
			continue
		}
		name, ok := strings.CutPrefix(kind, claimKind)
		if n := len(all) - 1; ok && n >= 0 && all[n].id == id && all[n].CreateRevision == kv.CreateRevision {
			if h, err := parseClaim(name); err == nil {
				all[n].claim, all[n].unread = h, false
			}
		}
	}
	return all
}

// read reads the records of holders whose keys do not name their slots: those of an older
// berth, and damaged ones.
func (s *Store) read(ctx context.Context, l *snapshot) error {
	var ops []clientv3.Op
	for _, h := range l.holders {
		if h.unread {
			ops = append(ops, clientv3.OpGet(string(h.Key)))
		}
	}
	switch {
	case len(ops) == 0:
		return nil
	case len(ops) > mostOps:
		ops = []clientv3.Op{clientv3.OpGet(l.pool.holders(), clientv3.WithPrefix())}
	}
	resp, err := s.commit(ctx, txn{then: ops})
	if err != nil {
		return err
	}
	found := map[string]*mvccpb.KeyValue{}
	for _, r := range resp.Responses {
		for _, kv := range kvs(r) {
			found[string(kv.Key)] = kv
		}
	}
	still := l.holders[:0]
	for _, h := range l.holders {
		if h.unread {
			kv := found[string(h.Key)]
			if kv == nil {
				continue
			}
			h.claim, h.bad = l.pool.recorded(kv)
			h.unread = false
		}
		still = append(still, h)
	}
	l.holders = still
	return nil
}

// recorded is what a record claims, whatever else is wrong with it.
func (p pool) recorded(kv *mvccpb.KeyValue) (claim, error) {
	r, err := decode[lease.Lease](kv)
	switch {
	case err != nil:
		return claim{}, err
	case p.leaseKey(r.value.ID) != string(kv.Key):
		return claim{}, damaged(kv, errElse)
	case len(r.value.Slots) == 0 || slices.Min(r.value.Slots) < 0 || slices.Max(r.value.Slots) >= mostSlots || r.value.RequestedLimit < 0:
		return claim{}, damaged(kv, errNoSlots)
	}
	return claimOf(r.value), nil
}

func kvs(r *pb.ResponseOp) []*mvccpb.KeyValue { return r.GetResponseRange().GetKvs() }

// without is the snapshot as it will be without that holder.
func (l *snapshot) without(id string) *snapshot {
	less := *l
	less.holders = nil
	for _, h := range l.holders {
		if h.id != l.short(id) {
			less.holders = append(less.holders, h)
		}
	}
	return &less
}

func (s *Store) state(l *snapshot, ahead int) lease.PoolState {
	st := lease.PoolState{Own: l.own.value, Ahead: ahead, Starts: l.grants.value, Clock: s.wallClock()}
	for _, h := range l.holders {
		st.Used += h.used()
		st.RequestedLimit = lease.Smallest(nil, st.RequestedLimit, h.limit)
	}
	return st
}

// free are the n lowest free slots.
func (l *snapshot) free(n int) (slots []int) {
	taken := map[int]bool{}
	for _, h := range l.holders {
		for _, i := range h.slots {
			taken[i] = true
		}
	}
	for i := 0; len(slots) < n; i++ {
		if !taken[i] {
			slots = append(slots, i)
		}
	}
	return slots
}
