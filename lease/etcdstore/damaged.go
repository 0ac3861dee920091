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

// A record that cannot be read, because a person or a newer berth wrote it, holds up
// nothing. A holder's record counts as one slot until etcd deletes it with its etcd
// lease. A waiter's record is taken out of the line; its berth, if it lives, finds that
// and writes the record again.

var (
	errElse     = errors.New("it is the record of another holder")
	errNoSlots  = errors.New("it names no slots")
	errUnleased = errors.New("it has no etcd lease, so nothing would ever end it")
	errNoWaiter = errors.New("it is not of the waiter that its key names")
)

func damaged(kv *mvccpb.KeyValue, err error) error {
	return fmt.Errorf("cannot read %s: %w", kv.Key, err)
}

// parseWaiter is a waiter's record, checked.
func (p pool) parseWaiter(kv *mvccpb.KeyValue) (record[waiting], error) {
	r, err := decode[waiting](kv)
	if err != nil || kv == nil {
		return r, err
	}
	key := string(kv.Key)
	switch t := r.value.Ticket; {
	case kv.Lease == 0:
		return r, damaged(kv, errUnleased)
	case key != p.lineKey(t) && key != p.asideKey(t), !strings.HasPrefix(t.ID, p.name+"/"), t.Weight < 1:
		return r, damaged(kv, errNoWaiter)
	}
	return r, nil
}

// isNewer reports whether a newer berth wrote the record and keeps it alive. That berth
// takes its turn by itself.
func isNewer(kv *mvccpb.KeyValue) bool {
	var r struct {
		Version int `json:"v"`
	}
	return kv.Lease != 0 && json.Unmarshal(kv.Value, &r) == nil && r.Version > lease.Version
}

// dropDamaged takes a waiter's unreadable record out of the line. It reports whether the
// record is gone now; then what was read with it has to be read again.
func (s *Store) dropDamaged(ctx context.Context, p pool, kv *mvccpb.KeyValue) (struck bool, err error) {
	_, bad := p.parseWaiter(kv)
	if bad == nil || isNewer(kv) {
		return false, nil
	}
	s.noteOnce(kv, fmt.Errorf("%w; it is taken out of the line", bad))
	_, err = s.commit(ctx, txn{
		when: []clientv3.Cmp{unchanged(string(kv.Key), kv.ModRevision)},
		then: []clientv3.Op{clientv3.OpDelete(string(kv.Key))},
	})
	return true, err
}

// reportDamaged notes unreadable holders, and makes sure that each ends some day.
func (s *Store) reportDamaged(ctx context.Context, l *snapshot) {
	for _, h := range l.holders {
		switch {
		case h.Lease == 0:
			s.noteOnce(h.KeyValue, fmt.Errorf("%s has no etcd lease, and goes in %v if it is not renewed: %s", h.Key, lease.DefaultTTL, remedy(h.KeyValue)))
			s.attachLease(ctx, h)
		case h.bad != nil:
			s.noteOnce(h.KeyValue, fmt.Errorf("%w; it counts as one slot until its etcd lease ends: %s", h.bad, remedy(h.KeyValue)))
		}
	}
}

// attachLease attaches a record without an etcd lease to a new one. Otherwise nothing
// would ever delete it, and it could not be told whether it has an owner. An owner that
// lives finds that with its next renewal and keeps the new etcd lease, as after a move to
// another TTL whose answer was lost.
func (s *Store) attachLease(ctx context.Context, h holder) {
	granted, err := s.grantLease(ctx, lease.DefaultTTL)
	if err != nil {
		return
	}
	resp, err := s.commit(ctx, txn{
		when: []clientv3.Cmp{unchanged(string(h.Key), h.ModRevision)},
		then: []clientv3.Op{clientv3.OpPut(string(h.Key), "", clientv3.WithIgnoreValue(), clientv3.WithLease(granted.id))},
	})
	if err == nil && !resp.Succeeded { // another process was faster
		s.discard(granted.id)
	}
}

// remedy is the command that deletes the record.
func remedy(kv *mvccpb.KeyValue) string {
	return "etcdctl del '" + strings.ReplaceAll(string(kv.Key), "'", `'\''`) + "' removes it"
}

// noteOnce gives one note for each key.
func (s *Store) noteOnce(kv *mvccpb.KeyValue, err error) {
	if _, said := s.noticed.LoadOrStore(string(kv.Key), nil); !said && s.notice != nil {
		s.notice(err)
	}
}
