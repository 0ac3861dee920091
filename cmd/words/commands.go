package words

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"berth/cmd/storename"
	"berth/cmd/text"
	"berth/lease"
)

// Ls is what 'berth ls' shows.
type Ls struct {
	Store                  storename.Spec
	Pools                  []string // none: all
	All, Long, JSON, Watch bool
}

func lsCommand() Command {
	return Command{
		Name:     "ls",
		Usage:    "Show who holds the slots of each pool, who waits, in which place, and why.",
		Synopsis: "berth ls [flags] [POOL...]",
		Description: `States of jobs: reserved (slot taken, command not started), running, orphaned
(its berth is gone, its command still runs), stalled (its berth writes no
heartbeats; with a directory the slot stays taken), damaged (its record cannot
be read; the slot stays taken). States of waiters: waiting; stopped, and kept
for a --ticket, which the others pass.

The columns are slot or place, state, time, user@host, pid of berth>command,
lease, labels, command. On a terminal they are cut to its width, with … where
something is left out; -l breaks the lines instead.`,
		Flags: []Flag{
			{Name: "all", Short: "a", Kind: Switch, Usage: "also show idle pools"},
			{Name: "long", Short: "l", Kind: Switch, Usage: "show all that is known: token, use, directory, time limits, what each waits for"},
			{Name: "json", Kind: Switch, Usage: "print JSON, see berth help json"},
			{Name: "watch", Kind: Switch, Usage: "keep the screen up to date until interrupted; without a terminal, print again after every change"},
			poolFlag("show this pool, in place of POOL"),
			storeFlag(""), ownerFlag(""),
		},
		parse: func(p *parser) any {
			return Ls{Store: p.store(), Pools: p.pools(), All: p.on("all"), Long: p.on("long"), JSON: p.on("json"), Watch: p.on("watch")}
		},
	}
}

// Probe is a look at the machine with gates.
type Probe struct {
	Store      storename.Spec
	Pool       string
	Conditions lease.Conditions // those that were typed
	JSON       bool
}

func probeCommand() Command {
	return Command{
		Name:     "probe",
		Usage:    "Show what the gates read of this machine, and what they say.",
		Synopsis: "berth probe [flags]",
		Description: `Checks the given gates and those of the pool's own settings once, as 'berth run'
does for the head of the line. Exit code 0 when all are open, 75 when one is
closed. No job starts and no slot is taken, but a --gate command runs.`,
		Flags: append([]Flag{
			{Name: "pool", Short: "p", Value: "NAME", Default: "default", Usage: "with this pool's own settings and the needs of its jobs (default: default)"},
			{Name: "slots", Short: "n", Value: "auto", Kind: Number, Usage: "with the gates of -n auto"},
			{Name: "json", Kind: Switch, Usage: "print JSON, see berth help json"},
			storeFlag(""), ownerFlag(""),
		}, gateFlags()...),
		parse: func(p *parser) any { return p.probe() },
	}
}

func (p *parser) probe() Probe {
	mine := p.terms(terms{})
	if p.text("slots") == "auto" {
		mine, _ = p.auto(mine)
	} else {
		if p.isSet("slots") {
			p.check("slots", fmt.Errorf("%q is no gate; only auto is", p.text("slots")))
		}
		p.onlyAuto("a gate alone")
	}
	p.agree(mine, 0)
	p.check("pool", lease.CheckPool(p.text("pool")))
	if operands := p.operands(); len(operands) > 0 {
		err := fmt.Errorf("takes flags only; got %s", text.Plural(len(operands), "argument"))
		if lease.CheckPool(operands[0]) == nil {
			err = Hinted(err, "berth probe -p "+operands[0]+", if that is a pool")
		}
		p.fail(err)
	}
	return Probe{Store: p.store(), Pool: p.text("pool"), Conditions: mine.pack(), JSON: p.on("json")}
}

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
		Synopsis: "berth stop [flags] LEASE...\nberth stop [flags] [--pool POOL] [--label K=V...]",
		Description: `The job's own berth ends it: a signal to the command and all its descendants,
KILL after a while. A waiter leaves the line with exit code 75. An orphan is
ended by this command itself. It returns when all are gone.

LEASE is an id that 'berth ls' shows, its beginning, its hex part or at least 4
digits of that, or the pid of a berth or its command on this machine. If it is
unknown the exit code is 1. If it may be several, the exit code is 125 and none
is stopped. A command that exits with 0 when it is stopped makes its berth exit
with 128+n, n being the signal that was sent first.`,
		Flags: []Flag{
			poolFlag("stop all jobs and waiters of this pool"),
			{Name: "label", Value: "K=V", Kind: List, Usage: "stop all that have this label, in all pools or in that of --pool; repeatable: all that have each of these labels"},
			{Name: "kill-after", Value: "D", Kind: Number, Usage: "send KILL this long after the first signal (default: the job's --kill-after)"},
			{Name: "now", Kind: Switch, Usage: "send KILL at once"},
			{Name: "reason", Value: "TEXT", Usage: "the job's berth shows this"},
			storeFlag(""), ownerFlag(""),
		},
		parse: func(p *parser) any { return p.stop() },
	}
}

// maxStopReason bounds what a stopped job's berth says.
const maxStopReason = 1024

func (p *parser) stop() Stop {
	s := Stop{
		Store:  p.store(),
		Choice: Choice{Words: p.operands(), Pool: p.text("pool"), Labels: p.labels("label")},
		Stop:   lease.Stop{Reason: p.text("reason")},
	}
	switch {
	case (p.isSet("pool") || p.isSet("label")) == (len(s.Choice.Words) > 0):
		p.fail(errors.New("name either LEASE..., or --pool POOL or --label K=V or both"))
	case p.isSet("pool") && lease.CheckPool(s.Choice.Pool) != nil:
		p.fail(lease.CheckPool(s.Choice.Pool))
	case p.on("now") && p.isSet("kill-after"):
		p.fail(fmt.Errorf("--now and --kill-after %s exclude each other", p.text("kill-after")))
	case len(s.Stop.Reason) > maxStopReason:
		p.fail(fmt.Errorf("a reason of %d bytes is too long (at most %d)", len(s.Stop.Reason), maxStopReason))
	case p.on("now"):
		s.Stop.KillAfter = new(time.Duration)
	case p.isSet("kill-after"):
		d := p.duration("kill-after")
		s.Stop.KillAfter = &d
	}
	return s
}

// Keepalive resets the idle clock of a job.
type Keepalive struct {
	Store storename.Spec
	Lease string // as it was typed, else as BERTH_LEASE has it
	Named bool   // it was typed
}

func keepaliveCommand() Command {
	return Command{
		Name:     "keepalive",
		Usage:    "Restart the --idle-timeout of a job.",
		Synopsis: "berth keepalive [flags] [LEASE]",
		Description: `Without LEASE it is the innermost job around this command ($BERTH_LEASE). LEASE
is what 'berth stop' takes.`,
		Flags: []Flag{storeFlag(""), ownerFlag("")},
		parse: func(p *parser) any {
			k := Keepalive{Store: p.store(), Lease: os.Getenv("BERTH_LEASE"), Named: len(p.operands()) > 0}
			switch operands := p.operands(); {
			case len(operands) > 1:
				p.fail(fmt.Errorf("takes one LEASE at most, got %d", len(operands)))
			case k.Named:
				k.Lease = operands[0]
			case k.Lease == "":
				p.fail(Hinted(errors.New("no LEASE named, and BERTH_LEASE is not set: this does not run in a job of berth"),
					"berth ls shows the leases: berth keepalive LEASE"))
			}
			return k
		},
	}
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
		Usage:    "Exit with 0 inside a job that holds its slot in POOL, with 1 elsewhere.",
		Synopsis: "berth held [flags] POOL",
		Description: `Exit code 125 means that it could not be found out. berth looks at processes and
not at BERTH_POOL, which processes that a job leaves behind still have. What
--on-busy run starts without a slot is not inside.

At the top of a script that must not run twice at once (bash "$0" for bash):
  pool=nightly
  berth held "$pool" || exec berth run -n 1 -p "$pool" -- sh "$0" "$@"
Name the pool once: with two names the script would start itself endlessly.`,
		Flags: []Flag{
			storeFlag(""), ownerFlag(""),
			{Name: "verbose", Short: "v", Kind: Switch, Usage: "say which job it is, or that there is none [$BERTH_VERBOSE]"},
		},
		parse: func(p *parser) any {
			h := Held{Store: p.store(), Verbose: p.switched("verbose")}
			if len(p.operands()) != 1 {
				p.fail(fmt.Errorf("takes one POOL, got %d", len(p.operands())))
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
	case len(operands) != 2 || operands[0] != "check":
		p.fail(Hinted(fmt.Errorf("takes check and FILE, got %q", operands), "berth token check FILE"))
	case text == "":
		p.fail(Hinted(errors.New("no --token, and BERTH_TOKEN is not set: this does not run in a job of berth"), "berth run -- sh -c 'berth token check FILE && COMMAND'"))
	case err != nil:
		p.fail(fmt.Errorf("%s: %q is not a token: a whole number, as BERTH_TOKEN is in a job", from, text))
	default:
		t = Token{File: operands[1], Token: token}
	}
	return t
}

// Completion asks for the script of a shell, or for the words that complete a line.
type Completion struct{ Words []string }

func completionCommand() Command {
	return Command{
		Name:     "completion",
		Usage:    "Print the script that completes berth's commands in a shell.",
		Synopsis: "berth completion bash|zsh|fish",
		Description: `It completes commands, flags and their words, topics, and, from the store that
is in force, pools and leases. To switch it on:
  source <(berth completion bash)              in ~/.bashrc
  source <(berth completion zsh)               in ~/.zshrc, after compinit
  berth completion fish >~/.config/fish/completions/berth.fish

The scripts call 'berth completion next -- WORD...' to complete the last WORD.`,
		parse: func(p *parser) any { return Completion{p.operands()} },
	}
}

// Man asks for the man page.
type Man struct{}

func manCommand() Command {
	return Command{
		Name:     "man",
		Usage:    "Print the man page, with all topics of berth help.",
		Synopsis: "berth man",
		Description: `It is made of the same texts as berth help. To keep it where man finds it:
  berth man >/usr/local/share/man/man1/berth.1`,
		parse: func(p *parser) any { p.noArguments(); return Man{} },
	}
}

// Version asks which berth this is.
type Version struct{ JSON bool }

func versionCommand() Command {
	return Command{
		Name:     "version",
		Usage:    "Print which berth this is: version or revision, Go, platform.",
		Synopsis: "berth version [--json]",
		Flags:    []Flag{{Name: "json", Kind: Switch, Usage: "print JSON, see berth help json"}},
		parse:    func(p *parser) any { p.noArguments(); return Version{JSON: p.on("json")} },
	}
}

// Help asks for the help of a command or for a topic; "" for a list of both.
type Help struct{ Word string }

func helpCommand() Command {
	return Command{
		Name:     "help",
		Usage:    "Print the help of a command or a topic; without a word, list them.",
		Synopsis: "berth help [COMMAND|TOPIC]",
		parse: func(p *parser) any {
			if len(p.operands()) == 0 {
				return Help{}
			}
			return Help{Word: p.operands()[0]}
		},
	}
}
