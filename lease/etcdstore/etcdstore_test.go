package etcdstore

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/storetest"
	"berth/lease/storetest/engine"
)

func open(t testing.TB, path string, servers ...*engine.Server) *Store {
	t.Helper()
	d := lease.Dial{Scheme: "etcd", Path: path}
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
	server, n := engine.Etcd(t), atomic.Int64{}
	storetest.Run(t, storetest.Shape{
		Open: func(t *testing.T) lease.Store { return open(t, fmt.Sprintf("/test/%d", n.Add(1)), server) },
		Another: func(t *testing.T, first lease.Store) lease.Store {
			return open(t, fmt.Sprintf("/test/%d", n.Load()), server)
		},
		TTL: 2 * time.Second,
	})
}
