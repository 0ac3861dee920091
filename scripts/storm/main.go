//go:build linux

// Command storm runs short jobs of every kind on a few pools, and kills, stops and
// limits them at random. Each job records its own start and end; from these records
// the command then proves that no promise was broken. It prints the counts, and the
// seed of the plans.
//
//	go run ./scripts/storm [FLAG...] [SECONDS]
//
// Some of the jobs take slots of two pools, in both orders; some send away who waits for
// the same job, or have others end to make room. Shells keep a slot over several commands,
// with 'berth acquire', and their keepers, their jobs and they themselves are killed, too.
//
// Without --store the pools are in a directory. With it they are on a server of its
// own, and the server and the network before it have their faults:
//
//	both   the server is frozen for a moment, and restarted
//	redis  connections are cut, broken and half open; what is sent is held back for
//	       seconds and delivered when its sender has given up; about once a minute
//	       the server is restarted or emptied (FLUSHALL, alone or with SCRIPT FLUSH)
//	etcd   one of the three members hangs for good, the leader as often as another
//
// Long jobs, on Redis with --ttl 120s --heartbeat 40s, meet all that. A storm of less
// than 30 s leaves out what takes long. With 'go run -race' the berth is built with the
// race detector, too.
package main

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"time"

	"berth/lease/storetest/engine"
)

func main() {
	if code, is := asJob(os.Args[1:]); is {
		os.Exit(code)
	}
	o, ok := parse(os.Args[1:])
	if !ok {
		os.Exit(2)
	}
	// After a storm it may take some minutes until all has ended or is known to hang.
	time.AfterFunc(o.lasts+10*time.Minute, func() { panic("the storm does not end") })
	if !onStage(func(t engine.T) { conduct(t, o) }) {
		os.Exit(1)
	}
}

// options are what a storm is told.
type options struct {
	lasts  time.Duration
	kind   string // of the server, "": the store is a directory
	faults string // only these, by commas
	seed   uint64 // of an earlier storm, 0: another one
	berth  string // the program, "": it is built from here
}

func parse(args []string) (o options, ok bool) {
	flags := flag.NewFlagSet("storm", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: go run ./scripts/storm [FLAG...] [SECONDS]")
		flags.PrintDefaults()
	}
	flags.StringVar(&o.kind, "store", "", "redis or etcd: the pools are on such a `server`, else in a directory")
	flags.StringVar(&o.faults, "faults", "", "only these `faults`, by commas (redis: freeze cut restart late deaf reset flush scripts long; etcd: freeze restart hung long)")
	flags.Uint64Var(&o.seed, "seed", 0, "the plans of an earlier storm again, by its `seed`")
	flags.StringVar(&o.berth, "berth", "", "this berth (with --store: berth-remote) instead of one built from here, a `file`")
	if flags.Parse(args) != nil {
		return o, false
	}
	seconds := 60
	if flags.NArg() == 1 {
		seconds, _ = strconv.Atoi(flags.Arg(0))
	}
	if flags.NArg() > 1 || seconds < 1 || o.kind != "" && serverKinds[o.kind].ttl == 0 {
		flags.Usage()
		return o, false
	}
	o.lasts = time.Duration(seconds) * time.Second
	return o, true
}
