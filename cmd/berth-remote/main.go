// See berth's main.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command berth-remote is berth with the clients for stores on a server, Redis and
// etcd. The clients cost every start some milliseconds and megabytes, which a user of a
// directory should not pay. berth replaces itself by this program when it meets a URL of
// such a store.
package main

import (
	"os"
	"sync"

	"berth/cmd"
	"berth/cmd/open"
	"berth/lease"
	"berth/lease/etcdstore"
	"berth/lease/redisstore"
	"berth/lease/remote"
)

func main() {
	open.Register(func(d remote.Address) (lease.Store, error) { return redisstore.Open(d) }, redisstore.Schemes...)
	var mu sync.Mutex // completion leaves a store alone that is still being opened
	var closes []func() error
	open.Register(func(d remote.Address) (lease.Store, error) {
		s, err := etcdstore.Open(d)
		if err != nil {
			return nil, err
		}
		mu.Lock()
		defer mu.Unlock()
		closes = append(closes, s.Close)
		return s, nil
	}, "etcd", "etcds")
	end := cmd.Main(os.Args)
	mu.Lock()
	for _, c := range closes {
		_ = c()
	}
	os.Exit(end.End())
}
