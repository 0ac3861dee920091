package etcdstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/lease"
)

// A record that cannot be read, of a hand or a newer berth, holds up nobody. A holder's
// counts as one slot until etcd drops it with the etcd lease that it hangs on. A waiter's
// is taken out of the line; its owner, if there is one, finds it gone and writes it anew.

var (
	errElse     = errors.New("it is the record of somebody else")
	errNoSlots  = errors.New("it names no slots")
	errUnleased = errors.New("it hangs on no etcd lease, so nothing would ever end it")
	errNoWaiter = errors.New("it is not of the waiter that its key names")
)

func damaged(kv *mvccpb.KeyValue, err error) error {
	return fmt.Errorf("cannot read %s: %w", kv.Key, err)
}

// standing is a waiter's record, if a berth has written it so.
func (p pool) standing(kv *mvccpb.KeyValue) (record[waiting], error) {
	r, err := decode[waiting](kv)
	if err != nil || kv == nil {
		return r, err
	}
	key := string(kv.Key)
	switch t := r.is.Ticket; {
	case kv.Lease == 0:
		return r, damaged(kv, errUnleased)
	case key != p.inLine(t) && key != p.isAside(t), !strings.HasPrefix(t.ID, p.name+"/"), t.Weight < 1:
		return r, damaged(kv, errNoWaiter)
	}
	return r, nil
}

// newer: a newer berth has written it and keeps it alive. It takes its turn by itself.
func newer(kv *mvccpb.KeyValue) bool {
	var r struct {
		Version int `json:"v"`
	}
	return kv.Lease != 0 && json.Unmarshal(kv.Value, &r) == nil && r.Version > lease.Version
}

// strike takes a waiter's record out of the line if it cannot be read, and reports
// whether it did, or somebody else: then what was read with it is to be read again.
func (s *Store) strike(ctx context.Context, p pool, kv *mvccpb.KeyValue) (struck bool, err error) {
	_, bad := p.standing(kv)
	if bad == nil || newer(kv) {
		return false, nil
	}
	s.tellOf(kv, fmt.Errorf("%w; it is taken out of the line", bad))
	_, err = s.commit(ctx, txn{
		when: []clientv3.Cmp{unchanged(string(kv.Key), kv.ModRevision)},
		then: []clientv3.Op{clientv3.OpDelete(string(kv.Key))},
	})
	return true, err
}

// mind tells of the holders that are not as a berth writes them, and sees to it that each
// ends some day.
func (s *Store) mind(ctx context.Context, l *look) {
	for _, h := range l.holders {
		switch {
		case h.Lease == 0:
			s.tellOf(h.KeyValue, fmt.Errorf("%s hangs on no etcd lease, and goes in %v if nobody renews it: %s", h.Key, lease.DefaultTTL, remedy(h.KeyValue)))
			s.bind(ctx, h)
		case h.bad != nil:
			s.tellOf(h.KeyValue, fmt.Errorf("%w; it counts as one slot until its etcd lease ends: %s", h.bad, remedy(h.KeyValue)))
		}
	}
}

// bind hangs a record that hangs on no etcd lease on a new one. Nothing would end it
// else, and nobody could tell whether it has an owner. One who lives finds it so with its
// next sign of life and keeps it, as after a move to another TTL whose answer was lost.
func (s *Store) bind(ctx context.Context, h holder) {
	life, err := s.grantLease(ctx, lease.DefaultTTL)
	if err != nil {
		return
	}
	resp, err := s.commit(ctx, txn{
		when: []clientv3.Cmp{unchanged(string(h.Key), h.ModRevision)},
		then: []clientv3.Op{clientv3.OpPut(string(h.Key), "", clientv3.WithIgnoreValue(), clientv3.WithLease(life.id))},
	})
	if err == nil && !resp.Succeeded { // somebody else did
		s.discard(life.id)
	}
}

// remedy is what ends it at once.
func remedy(kv *mvccpb.KeyValue) string {
	return "etcdctl del '" + strings.ReplaceAll(string(kv.Key), "'", `'\''`) + "' removes it"
}

// tellOf says it once of each key.
func (s *Store) tellOf(kv *mvccpb.KeyValue, err error) {
	if _, said := s.noticed.LoadOrStore(string(kv.Key), nil); !said && s.notice != nil {
		s.notice(err)
	}
}
