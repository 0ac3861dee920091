package words

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"syscall"
	"time"

	"berth/cmd/storename"
)

// Acquire is the request of 'berth acquire'.
type Acquire struct {
	Line
	With   int  // the pid of the process that the slot is for; 0: the parent
	Detach bool // for no process: until a time limit is over
	Export bool // print lines for a shell
}

func acquireCommand() Command {
	return Command{
		Name:     "acquire",
		Usage:    "Take a slot for this shell or another process, and print the lease's id.",
		Synopsis: "berth acquire [flags]",
		Description: `A keeper in the background holds the slot. It frees the slot on 'berth release',
when the process that it is tied to is gone, however that went, and on a time
limit. Without --with that is the parent of this command: the shell. While a
'berth run --lease' runs, the slot is kept until that has ended.

  id=$(berth acquire -p db --timeout 1h) || exit
  berth run --lease "$id" -- ./dump
  berth release "$id"

The exit code is 0, or that of a 'berth run' that gets no slot. What runs with
the slot but without 'berth run --lease' is not ended by a time limit or by
'berth stop'. More is in berth help holding.`,
		Flags: acquireFlags(),
		parse: func(p *parser) any { return p.acquire() },
	}
}

func acquireFlags() []Flag {
	flags := slices.Concat(slotFlags(), waitFlags(), []Flag{
		{Group: ofHolding, Name: "with", Value: "PID", Kind: Number, Usage: "free the slot when this process is gone (default: the parent of this command)"},
		{Group: ofHolding, Name: "detach", Kind: Switch, Usage: "tie the slot to no process; needs --timeout or --idle-timeout"},
		{Group: ofHolding, Name: "timeout", Value: "D", Kind: Number, Usage: "free the slot after this time; ends a 'berth run --lease', which exits with 124 (default: 0, never)"},
		{Group: ofHolding, Name: "idle-timeout", Value: "D", Kind: Number, Usage: "free the slot after this time without a 'berth keepalive', in the same way (default: 0, never)"},
		{Group: ofHolding, Name: "export", Kind: Switch, Usage: `print lines for eval "$(...)" that set BERTH_LEASE and the others; on failure, print (exit CODE)`},
	}, leaseFlags(), serverFlags(), gateFlags(), commonFlags())
	for i := range flags {
		switch f := &flags[i]; f.Name {
		case "nested":
			f.Default, f.Usage = "take", "inside a job of the same pool: take another slot, unless that would wait for the job itself, or fail (default: take)"
		case "on-busy":
			f.Usage = "after that time: fail, with exit code 75, or end jobs to make room (replace), see berth run --help (default: fail)"
		}
	}
	return flags
}

func (p *parser) acquire() *Acquire {
	p.takes = map[string][]string{"on-busy": {"fail", "replace"}, "nested": {"take", "fail"}}
	switch busy := p.text("on-busy"); {
	case busy == "skip" || busy == "run":
		p.fail(fmt.Errorf("--on-busy %s would print no lease and exit with 0; drop it", busy))
	case p.text("nested") == "reuse":
		p.fail(errors.New("--nested reuse: the slot of the job around this is not one to give back; drop it"))
	}
	a := &Acquire{Line: p.line(), Detach: p.on("detach"), Export: p.on("export")}
	timeout, idle := p.limit("timeout"), p.limit("idle-timeout")
	parsed(p, "with", &a.With, pidOf)
	for i := range a.Requests {
		q := &a.Requests[i]
		q.Kept, q.Timeout, q.IdleTimeout = true, timeout, idle
		q.Signal, q.KillAfter = int(syscall.SIGTERM), 10*time.Second // as run has them: for 'berth stop'
	}
	p.fail(p.checkAcquire(a, timeout, idle))
	return a
}

func pidOf(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > math.MaxInt32 { // the kernel takes 32 bits
		return 0, fmt.Errorf("%q is not a pid", s)
	}
	return n, nil
}

func (p *parser) checkAcquire(a *Acquire, timeout, idle time.Duration) error {
	switch {
	case len(p.operands()) > 0:
		return Hinted(fmt.Errorf("unexpected argument %q: it runs no command", p.operands()[0]), `berth run -- COMMAND, or after this: berth run --lease "$id" -- COMMAND`)
	case a.Detach && a.With > 0:
		return fmt.Errorf("--detach and --with %d contradict each other", a.With)
	case a.Detach && timeout == 0 && idle == 0:
		return errors.New("--detach needs --timeout or --idle-timeout: without a process nothing else frees a forgotten slot")
	}
	return nil
}

// Release gives a kept lease back.
type Release struct {
	Store storename.Spec
	Lease string // as it was typed, else as BERTH_LEASE has it
	Named bool   // it was typed
}

func releaseCommand() Command {
	return Command{
		Name:     "release",
		Usage:    "Give back what 'berth acquire' took.",
		Synopsis: "berth release [flags] [LEASE]",
		Description: `Without LEASE it is that of BERTH_LEASE. The command waits for a 'berth run
--lease', and returns when the slot is free.

The exit code is 0 also for a whole id that the store does not have: a note says
so, since the lease may be over, or be in another store. It is 1 for a word that
names no lease, and for a job of 'berth run'.

` + leaseText,
		Flags: []Flag{storeFlag(""), ownerFlag(""), userStoreFlag("")},
		parse: func(p *parser) any {
			r := Release{Store: p.store()}
			r.Lease, r.Named = p.leaseOperand("berth release LEASE")
			return r
		},
	}
}

// runLease checks that a command which runs under an acquired lease asks for nothing that the
// lease has settled.
func (p *parser) runLease(r *Run) error {
	id := p.text("lease")
	if id == "" {
		return Hinted(errors.New("--lease: \"\" is not a lease id, like db/0123456789ab"), "berth acquire prints it: id=$(berth acquire) || exit")
	}
	settled := slices.Concat(slotFlags(), waitFlags(), leaseFlags(), gateFlags(), []Flag{{Name: "ttl"}})
	for _, f := range settled {
		if p.isSet(f.Name) {
			return fmt.Errorf("--%s and --lease %s: the slot is taken already; give --%s to berth acquire", f.Name, id, f.Name)
		}
	}
	switch {
	case r.IdleTimeout > 0:
		return errors.New("--idle-timeout and --lease: 'berth keepalive' is for the lease; give --idle-timeout to berth acquire")
	case r.Exec:
		return errors.New("--exec leaves no berth to hand the lease back; drop it")
	}
	r.Lease = id
	return nil
}
