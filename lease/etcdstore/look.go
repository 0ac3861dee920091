package etcdstore

import (
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/lease"
)

// look is a pool as it was at one revision, without its line.
type look struct {
	pool
	rev     int64
	holders []record[lease.Lease]
	asks    map[string]*mvccpb.KeyValue // what others ask of holders and waiters, by its key
	own     record[lease.Settings]
	grants  record[lease.Starts]
}

// looking reads what a decision needs; what else is read comes after it.
func (p pool) looking(how ...clientv3.OpOption) []clientv3.Op {
	return []clientv3.Op{
		clientv3.OpGet(p.holders(), append(how, clientv3.WithPrefix())...),
		clientv3.OpGet(p.own(), how...),
		clientv3.OpGet(p.grants(), how...),
	}
}

// looked is the number of answers that looking has.
const looked = 3

func (p pool) seen(rev int64, rs []*pb.ResponseOp) (*look, error) {
	l := &look{pool: p, rev: rev, asks: map[string]*mvccpb.KeyValue{}}
	for _, kv := range kvs(rs[0]) {
		if !strings.HasSuffix(string(kv.Key), "/lease") {
			l.asks[string(kv.Key)] = kv
			continue
		}
		h, err := decodeLease(kv)
		if err != nil {
			// How many slots it has is not known, so nothing can be granted.
			return nil, &lease.DamagedError{Pool: p.name, Path: string(kv.Key), Err: err}
		}
		l.holders = append(l.holders, h)
	}
	var err error
	if l.own, err = decode[lease.Settings](only(kvs(rs[1]))); err != nil {
		return nil, err
	}
	l.own.is.UID = -1
	// Damaged starts are forgotten: the next grant writes them anew.
	l.grants, _ = decode[lease.Starts](only(kvs(rs[2])))
	return l, nil
}

func kvs(r *pb.ResponseOp) []*mvccpb.KeyValue { return r.GetResponseRange().GetKvs() }

// holder is the one with that id, if there is one.
func (l *look) holder(id string) (h record[lease.Lease]) {
	for _, o := range l.holders {
		if o.is.ID == id {
			return o
		}
	}
	return h
}

// without is the pool as it is once that holder is gone.
func (l *look) without(id string) *look {
	less := *l
	less.holders = nil
	for _, h := range l.holders {
		if h.is.ID != id {
			less.holders = append(less.holders, h)
		}
	}
	return &less
}

func (s *Store) state(l *look, ahead int) lease.PoolState {
	st := lease.PoolState{Own: l.own.is, Ahead: ahead, Starts: l.grants.is, Clock: s.today()}
	for _, h := range l.holders {
		st.Used += len(h.is.Slots)
		st.Asked = lease.Smallest(nil, st.Asked, h.is.Asks)
	}
	return st
}

// free are the n lowest slots that nobody has.
func (l *look) free(n int) (slots []int) {
	taken := map[int]bool{}
	for _, h := range l.holders {
		for _, i := range h.is.Slots {
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
