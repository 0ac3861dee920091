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
	"berth/lease"
	"berth/lease/etcdstore"
	"berth/lease/redisstore"
)

func main() {
	cmd.Register(func(d lease.Dial) (lease.Store, error) { return redisstore.Open(d) }, redisstore.Schemes...)
	cmd.Register(func(d lease.Dial) (lease.Store, error) { return etcdstore.Open(d) }, "etcd", "etcds")
	os.Exit(cmd.Main(os.Args).End())
}
