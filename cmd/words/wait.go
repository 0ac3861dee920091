package words

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"berth/cmd/storename"
	"berth/lease"
)

// Wait waits for a condition of a pool, or for the end of a detached job.
type Wait struct {
	Store storename.Spec
	Pool  string
	Lease string        // of the job; "": Pool is waited for
	Fewer int           // --fewer; 0: until it is idle
	Any   bool          // instead: until one of its jobs has ended
	Wait  time.Duration // negative: without end
	Quiet bool
}

func waitCommand() Command {
	return Command{
		Name:     "wait",
		Usage:    "Wait until POOL is idle, has free slots, or a job has ended.",
		Synopsis: "berth wait [flags] POOL\nberth wait [--wait D] LEASE",
		Description: `It takes no place in the line, and those who wait in it do not matter, so it
works in a drained pool, where they keep their places:
  berth limit POOL 0 && berth wait POOL && ./maintain; berth limit POOL none

The exit code is 0 once what is waited for holds, which may be at once, and 75
if it did not in the time allowed. A pool that does not exist is idle, and a
note says that there is none; a word that is a part of the id of a job is an
error. An orphan counts, and so does a job whose record cannot be read. The wait
fails when the directory of the pool is removed, moved or replaced. After a
restart of Redis it first waits until the jobs that the server may have
forgotten had time to register again.

LEASE is the whole id that berth run --detach has printed on this machine for
this user; a part of it is not enough, because the lease itself may be over. The
exit code is that of its run, 128+n for signal n, and 125 if its berth was
killed: then nothing is known of its end.`,
		Flags: []Flag{
			{Name: "idle", Kind: Switch, Usage: "until no slot is in use (the default)"},
			{Name: "fewer", Value: "N", Kind: Number, Usage: "until fewer than N slots are in use"},
			{Name: "any", Kind: Switch, Usage: "until one of the jobs that now hold slots has ended; at once if there are none"},
			{Name: "wait", Value: "D", Kind: Number, Usage: "wait at most this long; 0 looks once (default: forever)"},
			storeFlag(""), ownerFlag(""), userStoreFlag(""),
			{Name: "quiet", Short: "q", Kind: Switch, Usage: "no notes, and no messages while waiting [$BERTH_QUIET]"},
		},
		parse: func(p *parser) any { return p.waiting() },
	}
}

func (p *parser) waiting() Wait {
	w := Wait{Store: p.store(), Any: p.on("any"), Wait: -1, Quiet: p.switched("quiet")}
	if p.isSet("wait") {
		w.Wait = p.duration("wait")
	}
	if p.isSet("fewer") {
		w.Fewer = p.count("fewer", 1, MaxSlots)
	}
	var given []string
	for _, name := range []string{"idle", "fewer", "any"} {
		if p.isSet(name) && (name == "fewer" || p.on(name)) {
			given = append(given, "--"+name)
		}
	}
	if len(given) > 1 {
		p.fail(fmt.Errorf("%s: one of them is waited for, not all", strings.Join(given, ", ")))
	}
	switch operands := p.operands(); {
	case len(operands) == 1 && strings.Contains(operands[0], "/"):
		w.Lease = operands[0]
		switch {
		case len(given) > 0:
			p.fail(fmt.Errorf("%s is about a pool, and %s is a job", given[0], w.Lease))
		case !IsID(w.Lease):
			p.fail(fmt.Errorf("%q is neither a pool nor the whole id of a lease, like pool/0123456789ab", w.Lease))
		}
	case len(operands) == 0:
		p.fail(Hinted(errors.New("no pool named"), "berth wait POOL"))
	case len(operands) > 1:
		p.fail(fmt.Errorf("takes one POOL, got %d", len(operands)))
	default:
		w.Pool = operands[0]
		p.fail(lease.CheckPool(w.Pool))
	}
	return w
}
