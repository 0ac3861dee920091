package etcdstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/lease"
	"berth/lease/clock"
	"berth/lease/remote/client"
)

// List implements lease.Store. It does not tell the age of heartbeats: etcd would have to
// be called for each holder, and knows it in whole seconds.
func (s *Store) List(ctx context.Context, names ...string) (pools []lease.Pool, err error) {
	s.recordChildren(ctx)
	err = s.retry(ctx, func(ctx context.Context) (err error) {
		pools, err = s.list(ctx, names)
		return err
	})
	return pools, err
}

// recorder is a holding that records its child.
type recorder interface {
	recordChild(ctx context.Context) error
}

// recordChildren writes what this store has not recorded yet, so that its own List shows
// it.
func (s *Store) recordChildren(ctx context.Context) {
	for h := range s.unrecorded.All() {
		_ = h.recordChild(ctx)
	}
}

// mostOps is a little less than etcd takes in one transaction.
const mostOps = 100

// list reads all pools at one revision.
func (s *Store) list(ctx context.Context, names []string) ([]lease.Pool, error) {
	var ops []clientv3.Op
	for _, n := range names {
		p, err := s.pool(n)
		if err != nil {
			return nil, err
		}
		ops = append(ops, clientv3.OpGet(p.dir, clientv3.WithPrefix()))
	}
	if len(names) == 0 || len(names) > mostOps {
		ops = append(ops[:0], clientv3.OpGet(s.dir, clientv3.WithPrefix()))
	}
	resp, err := s.commit(ctx, txn{then: ops})
	if err != nil {
		return nil, err
	}
	found := map[string]*builder{}
	for _, r := range resp.Responses {
		for _, kv := range slices.Backward(kvs(r)) {
			name, key, _ := strings.Cut(strings.TrimPrefix(string(kv.Key), s.dir), "/")
			if found[name] == nil {
				found[name] = &builder{Pool: lease.Pool{Name: name}}
			}
			found[name].add(key, kv)
		}
	}
	if len(names) == 0 {
		for n := range found {
			names = append(names, n)
		}
		slices.Sort(names)
	}
	pools := []lease.Pool{}
	for _, n := range names {
		v := found[n]
		if v == nil {
			v = &builder{Pool: lease.Pool{Name: n}}
		}
		client.Assemble(&v.Pool)
		pools = append(pools, v.Pool)
	}
	return pools, nil
}

// builder builds a pool from its keys.
type builder struct {
	lease.Pool
	last struct { // the last claim that was read, its holder, and its revision of creation
		claim
		id   string
		made int64
	}
}

// add adds one key. Keys come in descending order: a holder's claim before its lease, and
// that before its keepalive and its adoption.
func (v *builder) add(key string, kv *mvccpb.KeyValue) {
	kind, rest, _ := strings.Cut(key, "/")
	switch {
	case key == "own":
		own, err := decode[lease.Settings](kv)
		v.Own, v.Err = own.value, cmp.Or(v.Err, err)
		v.Own.UID = -1
	case key == "grants":
		g, _ := decode[lease.Starts](kv)
		v.Starts = g.value
	case key == "report":
		if r, err := decode[lease.Report](kv); err == nil {
			v.Report = &r.value
		}
	case kind == "holders" && strings.HasSuffix(rest, "/lease"):
		h, err := decodeLease(kv)
		e := lease.Entry{Lease: &h.value, HeartbeatAge: -1}
		id, _, _ := strings.Cut(rest, "/")
		if err == nil && (h.value.ID != v.Name+"/"+id || len(h.value.Slots) == 0) {
			err = damaged(kv, errElse)
		}
		if err != nil {
			v.fillDamaged(&h.value, id, kv)
			e.Note = fmt.Sprintf("%v; it counts as %s until its etcd lease ends: %s", err, slotsOf(h.value), remedy(kv))
		}
		v.Holders = append(v.Holders, e)
	case kind == "holders":
		v.addToHolder(rest, kv)
	case kind == "line", kind == "aside":
		if w, err := decode[waiting](kv); err == nil && strings.HasPrefix(w.value.ID, v.Name+"/") {
			v.Waiters = append(v.Waiters, lease.Entry{Ticket: &w.value.Ticket, HeartbeatAge: -1, Aside: kind == "aside"})
		}
	}
}

// addToHolder adds what is beside the record of a holder.
func (v *builder) addToHolder(key string, kv *mvccpb.KeyValue) {
	id, kind, _ := strings.Cut(key, "/")
	if name, ok := strings.CutPrefix(kind, claimKind); ok {
		if h, err := parseClaim(name); err == nil {
			v.last.claim, v.last.id, v.last.made = h, id, kv.CreateRevision
		}
		return
	}
	n := len(v.Holders) - 1
	if n < 0 || v.Holders[n].Lease.ID != v.Name+"/"+id {
		return
	}
	switch e := &v.Holders[n]; kind {
	case string(lease.MessageKeepalive):
		if k, err := decode[clock.Instant](kv); err == nil {
			e.Keepalive = k.value
		}
	case noteKind:
		if note, err := decode[string](kv); err == nil {
			e.KeepaliveNote = note.value
		}
	case adoptionKind:
		adoptionIn(kv).describe(e.Lease)
	}
}

// fillDamaged fills in what decisions assume of an unreadable record: the slots of its
// claim, or those that the record names, or one slot.
func (v *builder) fillDamaged(l *lease.Lease, id string, kv *mvccpb.KeyValue) {
	p := pool{v.Name, strings.TrimSuffix(string(kv.Key), "holders/"+id+"/lease")}
	h := v.last.claim
	if v.last.id != id || v.last.made != kv.CreateRevision {
		h, _ = p.recorded(kv)
	}
	if len(h.slots) == 0 {
		h.slots = []int{0}
	}
	l.ID, l.Pool, l.State, l.Slots, l.RequestedLimit = v.Name+"/"+id, v.Name, lease.Damaged, h.slots, h.limit
}

func slotsOf(l lease.Lease) string {
	if len(l.Slots) == 1 {
		return "one slot"
	}
	return fmt.Sprintf("%d slots", len(l.Slots))
}

// Summary implements lease.Store.
func (s *Store) Summary(ctx context.Context, name string, t lease.Ticket) (v lease.Pool, err error) {
	p, err := s.pool(name)
	if err != nil {
		return v, err
	}
	s.recordChildren(ctx)
	err = s.retry(ctx, func(ctx context.Context) (err error) {
		v, err = s.summary(ctx, p, t)
		return err
	})
	return v, err
}

func (s *Store) summary(ctx context.Context, p pool, t lease.Ticket) (lease.Pool, error) {
	count := clientv3.WithCountOnly()
	ops := []clientv3.Op{
		clientv3.OpGet(p.holders(), clientv3.WithPrefix()), clientv3.OpGet(p.ownKey()),
		clientv3.OpGet(p.grantsKey()), clientv3.OpGet(p.reportKey()),
	}
	values := len(ops)
	ops = append(ops, clientv3.OpGet(p.line(), clientv3.WithPrefix(), count), clientv3.OpGet(p.aside(), clientv3.WithPrefix(), count))
	if t.ID != "" {
		ops = append(ops,
			clientv3.OpGet(p.lineKey(t), count), clientv3.OpGet(p.asideKey(t), count),
			clientv3.OpGet(p.line(), clientv3.WithRange(p.lineKey(t)), count), clientv3.OpGet(p.aside(), clientv3.WithRange(p.asideKey(t)), count))
	}
	resp, err := s.commit(ctx, txn{then: ops})
	if err != nil {
		return lease.Pool{}, err
	}
	d := builder{Pool: lease.Pool{Name: p.name}}
	for _, r := range resp.Responses[:values] {
		for _, kv := range slices.Backward(kvs(r)) {
			d.add(strings.TrimPrefix(string(kv.Key), p.dir), kv)
		}
	}
	v := d.Pool
	client.Assemble(&v)
	n := func(i int) int { return int(resp.Responses[values+i].GetResponseRange().Count) }
	v.Line = n(0) + n(1)
	if t.ID != "" && n(2)+n(3) > 0 {
		v.Place = n(4) + n(5) + 1
	}
	return v, nil
}
