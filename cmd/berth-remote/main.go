// See berth's main.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command berth-remote is berth with the clients for stores on a server, Redis and
// etcd. They cost every start some milliseconds and megabytes, which whoever has a
// directory for a store should not pay; berth replaces itself by this program when
// it meets a URL of theirs.
package main

import (
	"os"

	"berth/cmd"
	"berth/cmd/open"
	"berth/lease"
	"berth/lease/etcdstore"
	"berth/lease/redisstore"
	"berth/lease/remote"
)

func main() {
	open.Register(func(d remote.Address) (lease.Store, error) { return redisstore.Open(d) }, redisstore.Schemes...)
	var closes []func() error // what a store has still to do at the end
	open.Register(func(d remote.Address) (lease.Store, error) {
		s, err := etcdstore.Open(d)
		if err != nil {
			return nil, err
		}
		closes = append(closes, s.Close)
		return s, nil
	}, "etcd", "etcds")
	end := cmd.Main(os.Args)
	for _, c := range closes {
		_ = c()
	}
	os.Exit(end.End())
}
