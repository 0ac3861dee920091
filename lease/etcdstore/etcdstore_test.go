package etcdstore

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/lease"
	"berth/lease/remote"
	"berth/lease/storetest"
	"berth/lease/storetest/engine"
)

func open(t testing.TB, path string, servers ...*engine.Server) *Store {
	t.Helper()
	d := remote.Address{Scheme: "etcd", Path: path}
	for _, e := range servers {
		d.Hosts = append(d.Hosts, e.Addr)
	}
	s, err := Open(d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestStore(t *testing.T) {
	t.Parallel()
	server, n := engine.Etcd(t), atomic.Int64{}
	storetest.Run(t, storetest.Shape{
		Open: func(t *testing.T) lease.Store { return open(t, fmt.Sprintf("/test/%d", n.Add(1)), server) },
		Another: func(t *testing.T, first lease.Store) lease.Store {
			return open(t, fmt.Sprintf("/test/%d", n.Load()), server)
		},
		TTL:    2 * time.Second,
		Grants: true,
		Forgets: func(t *testing.T, age time.Duration) (lease.Store, func(string) []string) {
			s := open(t, fmt.Sprintf("/test/%d", n.Add(1)), server)
			s.timings.Forget, s.timings.Sweep = age, time.Nanosecond
			return s, func(pool string) []string { return left(t, s, pool) }
		},
	})
}

// left are the keys of a pool.
func left(t *testing.T, s *Store, name string) (keys []string) {
	t.Helper()
	resp, err := s.client.Get(soon(t), s.dir+name+"/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range resp.Kvs {
		keys = append(keys, string(kv.Key))
	}
	return keys
}
