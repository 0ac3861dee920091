package words

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"berth/cmd/storename"
	"berth/lease"
)

// leaseText is what names a lease, in all commands. Only a result of a detached job is found
// without its store, so it needs the whole id.
const leaseText = `LEASE is an id that 'berth ls' shows, its beginning, its hex part or at least 4
digits of that, or the pid of a berth or its command on this machine: a number
of up to 7 digits is a pid and nothing else.`

// Stop ends jobs and sends waiters away.
type Stop struct {
	Store  storename.Spec
	Choice Choice
	Stop   lease.Stop
}

func stopCommand() Command {
	return Command{
		Name:     "stop",
		Usage:    "End jobs with all their processes, and send waiters away.",
		Synopsis: "berth stop [flags] LEASE...\nberth stop [flags] [--pool POOL] [--job NAME] [--label K=V...]",
		Description: `The job's own berth ends it: a signal to the command and all its descendants,
KILL after a while. A waiter leaves the line with exit code 75. An orphan is
ended by this command itself. It returns when all are gone.

` + leaseText + `
If it is unknown the exit code is 1. If it may be one of several, the exit code
is 125 and none is stopped.

A command that exits with 0 when it is stopped makes its berth exit with 128+n,
n being the signal that was sent first.`,
		Flags: []Flag{
			poolFlag("stop all jobs and waiters of this pool"),
			{Name: "job", Value: "NAME", Usage: "stop all runs of this job, in all pools or in that of --pool"},
			{Name: "label", Value: "K=V", Kind: List, Usage: "stop all that have this label, in all pools or in that of --pool; repeatable: all that have each of these labels"},
			{Name: "kill-after", Value: "D", Kind: Number, Usage: "send KILL this long after the first signal (default: the job's --kill-after)"},
			{Name: "now", Kind: Switch, Usage: "send KILL at once"},
			{Name: "reason", Value: "TEXT", Usage: "the job's berth shows this"},
			storeFlag(""), ownerFlag(""), userStoreFlag(""),
		},
		parse: func(p *parser) any { return p.stop() },
	}
}

func (p *parser) stop() Stop {
	s := Stop{
		Store:  p.store(),
		Choice: Choice{Words: p.operands(), Pool: p.text("pool"), Job: p.job("job"), Labels: p.labels("label")},
		Stop:   lease.Stop{Reason: p.text("reason")},
	}
	switch {
	case (p.isSet("pool") || p.isSet("job") || p.isSet("label")) == (len(s.Choice.Words) > 0):
		p.fail(errors.New("name LEASE..., or else --pool POOL, --job NAME, --label K=V or several of these"))
	case p.isSet("pool") && lease.CheckPool(s.Choice.Pool) != nil:
		p.fail(lease.CheckPool(s.Choice.Pool))
	case p.on("now") && p.isSet("kill-after"):
		p.fail(fmt.Errorf("--now and --kill-after %s contradict each other", p.text("kill-after")))
	case p.on("now"):
		s.Stop.KillAfter = new(time.Duration)
	case p.isSet("kill-after"):
		d := p.duration("kill-after")
		s.Stop.KillAfter = &d
	}
	p.fail(lease.Message{Kind: lease.MessageStop, Stop: s.Stop}.Check())
	return s
}

// Keepalive resets the idle clock of a job.
type Keepalive struct {
	Store storename.Spec
	Lease string // as it was typed, else as BERTH_LEASE has it
	Named bool   // it was typed
	Note  string // what it says of the job; "": nothing new
}

func keepaliveCommand() Command {
	return Command{
		Name:     "keepalive",
		Usage:    "Restart the --idle-timeout of a job.",
		Synopsis: "berth keepalive [flags] [LEASE]",
		Description: `Without LEASE it is the innermost job around this command ($BERTH_LEASE).
` + leaseText,
		Flags: []Flag{
			{Name: "note", Value: "TEXT", Usage: "say how far the job is: 'berth ls' shows it until the next note; at most 1 KB"},
			storeFlag(""), ownerFlag(""), userStoreFlag(""),
		},
		parse: func(p *parser) any {
			k := Keepalive{Store: p.store(), Note: p.text("note")}
			k.Lease, k.Named = p.leaseOperand("berth keepalive LEASE")
			if p.isSet("note") && k.Note == "" {
				p.check("note", errors.New("the TEXT is empty; without --note the last note stays"))
			}
			p.check("note", k.Message().Check())
			return k
		},
	}
}

// Message is what the job's berth is told.
func (k Keepalive) Message() lease.Message {
	return lease.Message{Kind: lease.MessageKeepalive, Note: k.Note}
}

// leaseOperand is the lease that was named, else that of BERTH_LEASE.
func (p *parser) leaseOperand(next string) (id string, named bool) {
	switch operands := p.operands(); {
	case len(operands) > 1:
		p.fail(fmt.Errorf("takes one LEASE at most, got %d", len(operands)))
	case len(operands) == 1:
		return operands[0], true
	case os.Getenv("BERTH_LEASE") == "":
		p.fail(Hinted(errors.New("no LEASE is named and BERTH_LEASE is not set: this does not run in a job of berth"),
			"berth ls shows the leases: "+next))
	}
	return os.Getenv("BERTH_LEASE"), false
}

// Held asks whether this runs inside a job of a pool.
type Held struct {
	Store   storename.Spec
	Pool    string
	Verbose bool
}

func heldCommand() Command {
	return Command{
		Name:     "held",
		Usage:    "Exit with 0 if run inside a job that holds a slot in POOL, else with 1.",
		Synopsis: "berth held [flags] POOL",
		Description: `Exit code 125 means that berth could not find out. berth looks at processes and
not at BERTH_POOL, which processes that a job leaves behind still have. What
--on-busy run starts without a slot is not inside.

At the top of a script that must not run twice at once (bash "$0" for bash):
  pool=nightly
  berth held "$pool" || exec berth run -n 1 -p "$pool" -- sh "$0" "$@"
Name the pool once: with two names the script would start itself forever.`,
		Flags: []Flag{
			storeFlag(""), ownerFlag(""), userStoreFlag(""),
			{Name: "verbose", Short: "v", Kind: Switch, Usage: "say which job it is, or that there is none [$BERTH_VERBOSE]"},
		},
		parse: func(p *parser) any {
			h := Held{Store: p.store(), Verbose: p.switched("verbose")}
			switch n := len(p.operands()); {
			case n == 0:
				p.fail(Hinted(errors.New("no pool named"), "berth held POOL"))
				return h
			case n > 1:
				p.fail(fmt.Errorf("takes one POOL, got %d", n))
				return h
			}
			h.Pool = p.operands()[0]
			p.fail(lease.CheckPool(h.Pool))
			return h
		},
	}
}

// Token is a check of a token against those that a file has seen.
type Token struct {
	File  string
	Token uint64
}

func tokenCommand() Command {
	return Command{
		Name:     "token",
		Usage:    "Fail if a newer lease has been granted since this job's.",
		Synopsis: "berth token check [flags] FILE",
		Description: `FILE remembers the highest token that was checked against it. If the token of
this job is lower, the exit code is 1. Otherwise it is 0, and FILE remembers the
token. A job calls this before it writes where two must not write: if it was
paused past the end of its lease, the check fails. Keep one FILE for each pool,
beside what it guards. It is created if it is missing.`,
		Flags: []Flag{
			{Name: "token", Value: "N", Kind: Number, Usage: "the token to check (default: $BERTH_TOKEN)"},
		},
		parse: func(p *parser) any { return p.token() },
	}
}

func (p *parser) token() (t Token) {
	operands := p.operands()
	text, from := os.Getenv("BERTH_TOKEN"), "BERTH_TOKEN"
	if p.isSet("token") {
		text, from = p.text("token"), "--token"
	}
	token, err := strconv.ParseUint(text, 10, 64)
	switch {
	case len(operands) == 1 && operands[0] == "check":
		p.fail(Hinted(errors.New("no FILE is named"), "berth token check FILE"))
	case len(operands) == 0:
		p.fail(Hinted(errors.New("berth token needs a subcommand, and check is the only one"), "berth token check FILE"))
	case operands[0] != "check":
		p.fail(Hinted(fmt.Errorf("unknown subcommand %q: check is the only one", operands[0]), "berth token check FILE"))
	case len(operands) > 2:
		p.fail(Hinted(fmt.Errorf("takes one FILE, got %d", len(operands)-1), "berth token check FILE"))
	case text == "":
		p.fail(Hinted(errors.New("--token is missing and BERTH_TOKEN is not set: this does not run in a job of berth"), "berth run -- sh -c 'berth token check FILE && COMMAND'"))
	case err != nil:
		p.fail(fmt.Errorf("%s: %q is not a token: a whole number, as BERTH_TOKEN is in a job", from, text))
	default:
		t = Token{File: operands[1], Token: token}
	}
	return t
}
