package words

import "berth/cmd/storename"

// Doctor looks for what may be wrong with a store, the machine and those who wait.
type Doctor struct {
	Store    storename.Spec
	StoreErr error // why the store of the machine is not known; it is a finding
	JSON     bool
}

func doctorCommand() Command {
	return Command{
		Name:     "doctor",
		Usage:    "Look for what is wrong with the store, this machine and those who wait.",
		Synopsis: "berth doctor [flags]",
		Description: `A line for each thing that was looked at: ok, warn or fail, what it is, the
fact, and what to do about it. Exit code 1 if one fails.

Of a directory: owner and mode, file system and mount options, space, and
whether locks exclude there, which two processes try. Of a server: version,
latency, clock, persistence, what it does when it is full, its replicas or
members. Of the machine: clock, pressure, control groups, and limits against
the waiters there are. And circular waits: a job in pool a waits for a slot of
pool b while one in b waits for a slot of a, directly or through other pools.`,
		Flags: []Flag{
			{Name: "json", Kind: Switch, Usage: "print JSON, see berth help json"},
			{Name: "redis-wait", Value: "N", Default: "0", Kind: Number, Usage: "fail if fewer than N replicas of Redis are connected (default: 0)"},
			storeFlag(""), ownerFlag(""), userStoreFlag(""),
		},
		parse: func(p *parser) any {
			p.noArguments()
			d := Doctor{JSON: p.on("json")}
			d.Store, d.StoreErr = p.storeNamed()
			d.Store.Replicas = p.count("redis-wait", 0, 9)
			return d
		},
	}
}
