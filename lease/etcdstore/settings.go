package etcdstore

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/lease"
)

// Set implements lease.Store.
func (s *Store) Set(ctx context.Context, name string, change func(lease.Settings, error) (lease.Settings, error)) error {
	p, err := s.pool(name)
	if err != nil {
		return err
	}
	return s.retry(ctx, func(ctx context.Context) error {
		for {
			resp, err := s.commit(ctx, txn{then: []clientv3.Op{clientv3.OpGet(p.ownKey())}})
			if err != nil {
				return err
			}
			old, err := decode[lease.Settings](only(kvs(resp.Responses[0])))
			if err != nil {
				old.value = lease.Settings{}
			}
			old.value.UID = -1
			own, err := change(old.value, err)
			if err != nil {
				return err
			}
			op := clientv3.OpPut(p.ownKey(), encode(own))
			if own.None() {
				op = clientv3.OpDelete(p.ownKey())
			}
			set, err := s.commit(ctx, txn{when: []clientv3.Cmp{unchanged(p.ownKey(), old.rev())}, then: []clientv3.Op{op}})
			if err != nil || set.Succeeded {
				return err
			}
		}
	})
}
