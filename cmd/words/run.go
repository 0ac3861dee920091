package words

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"time"

	"berth/cmd/storename"
	"berth/procwatch"
)

// Run is the request of 'berth run'.
type Run struct {
	Line
	Lease       string        // the acquired lease that the command runs under; "": it gets a slot of its own
	Timeout     time.Duration // of the command; 0: none
	IdleTimeout time.Duration // without a keepalive; 0: none
	Signal      syscall.Signal
	KillAfter   time.Duration // from signal to KILL
	Hold        string        // command, tree
	Leftovers   string        // keep, kill: what the command leaves behind
	OnLost      string        // kill, warn
	Exec        bool
	Detach      bool
	Log         string              // of a detached job; "": a file beside its record
	SlotEnv     []string            // variables that get the command's slots
	WithParent  bool                // the job ends when the process that called berth is gone
	IfOrphaned  string              // keep, kill: the command, when berth is killed
	On          map[string][]string // shell commands, by event; nil: none
	HookTimeout time.Duration       // of each
	Argv        []string
}

func runFlags() []Flag {
	return slices.Concat(slotFlags(), []Flag{
		{Group: ofSlots, Name: "hold", Value: "WHAT", Default: "command", Usage: "keep the slot until the command ends (command), or until its last descendant ends (tree) (default: command)"},
		{Group: ofSlots, Name: "lease", Value: "LEASE", Usage: "run in the slot of this lease of 'berth acquire' (named as in 'berth stop'), one command at a time; the command is ended when the lease ends"},
	}, waitFlags(), []Flag{
		{Group: ofRunning, Name: "timeout", Value: "D", Kind: Number, Usage: "end the command and all its descendants after this running time; exit code 124 (default: 0, never)"},
		{Group: ofRunning, Name: "idle-timeout", Value: "D", Kind: Number, Usage: "end the command and all its descendants after this time without a 'berth keepalive'; exit code 124 (default: 0, never)"},
		{Group: ofRunning, Name: "signal", Value: "SIG", Default: "TERM", Kind: Number, Usage: "end a job with this signal first (default: TERM)"},
		{Group: ofRunning, Name: "kill-after", Value: "D", Default: "10s", Kind: Number, Usage: "send KILL this long after that signal (default: 10s)"},
		{Group: ofRunning, Name: "leftovers", Value: "WHAT", Default: "keep", Usage: "what to do with processes that still run when the command ends: keep them, or end them before the slot is freed (kill) (default: keep)"},
	}, leaseFlags(), []Flag{
		slotEnvFlag(),
	}, hookFlags(), []Flag{
		{Group: ofRunning, Name: "with-parent", Kind: Switch, Usage: "end the job, as berth stop does, when the process that called berth is gone; if it is gone before the start, nothing is started and the exit code is 75"},
		{Group: ofRunning, Name: "if-orphaned", Value: "WHAT", Usage: "when berth itself is killed (kill -9): let the command run on in its slot (keep), or have it killed (kill) (default: keep; always kill with a store on a server)"},
		{Group: ofRunning, Name: "detach", Kind: Switch, Usage: "run in the background, also after the terminal is closed. As soon as there is a place in the line, print the id of the lease, for berth wait LEASE. Not with --exec, nor with --on-busy skip or run"},
		{Group: ofRunning, Name: "log", Value: "FILE", Usage: "with --detach: append the output to FILE (default: a file in the store, see berth help scripting)"},
		{Group: ofRunning, Name: "exec", Kind: Switch, Usage: "become the command instead of supervising it: one process less; not with --timeout, --idle-timeout, --signal, --kill-after, --hold, --leftovers, --heartbeat, --on, --with-parent or --if-orphaned, nor with a store on a server"},
	}, serverFlags(), []Flag{
		{Group: ofServers, Name: "on-lost", Value: "WHAT", Usage: "when the lease is lost: end the command before another one may start, exit code 74 (kill), or let it run uncounted (warn) (default: kill; warn with a directory)"},
	}, gateFlags(), commonFlags())
}

func runCommand() Command {
	return Command{
		Name:     "run",
		Usage:    "Run COMMAND when a slot of its pool is free; free the slot when it ends.",
		Synopsis: "berth run [flags] [--] COMMAND [ARG...]",
		Description: `Callers of a pool are served in the order in which they come. The exit code is
that of COMMAND, or 75 no slot in time, 124 time limit, 125 berth itself failed,
126 and 127 COMMAND cannot be run or is not found, 128+n ended by signal n. See
berth help scripting. COMMAND is looked up twice: before the wait, so that a
mistake shows at once, and at the start.

D is a duration: seconds like 30 or 1.5, or with a unit: 300ms, 5min, 1h30m, 1d.
Recipes are in berth help recipes.`,
		Flags:    runFlags(),
		operands: true,
		parse:    func(p *parser) any { return p.run() },
	}
}

func (p *parser) run() Run {
	r := Run{
		Line: p.line(), Exec: p.on("exec"), Detach: p.on("detach"), Log: p.text("log"),
		Argv:        p.operands(),
		Hold:        p.choice("hold"),
		Leftovers:   p.choice("leftovers"),
		OnLost:      p.onLost(),
		Signal:      p.signal("signal"),
		KillAfter:   p.duration("kill-after"),
		Timeout:     p.limit("timeout"),
		IdleTimeout: p.limit("idle-timeout"),
		SlotEnv:     p.slotEnv(),
		WithParent:  p.on("with-parent"),
		IfOrphaned:  p.ifOrphaned(),
		On:          p.hooks(),
		HookTimeout: p.positive("hook-timeout"),
	}
	for i := range r.Requests {
		q := &r.Requests[i]
		q.Signal, q.KillAfter = int(r.Signal), r.KillAfter
		q.Timeout, q.IdleTimeout = r.Timeout, r.IdleTimeout
	}
	p.fail(p.checkConflicts(&r))
	if p.isSet("lease") {
		p.fail(p.runLease(&r))
	}
	return r
}

// onLost is "warn" for a directory: a lease is lost there only when its files are removed,
// and that is no reason to end a healthy job.
func (p *parser) onLost() string {
	switch {
	case p.isSet("on-lost"):
		return p.choice("on-lost")
	case storename.IsURL(p.store().Where):
		return "kill"
	}
	return "warn"
}

// ifOrphaned is "kill" with a server: there a lease ends soon after its berth.
func (p *parser) ifOrphaned() string {
	remote := storename.IsURL(p.store().Where)
	switch {
	case !p.isSet("if-orphaned") && remote:
		return "kill"
	case !p.isSet("if-orphaned"):
		return "keep"
	}
	what := p.choice("if-orphaned")
	switch {
	case what == "keep" && remote:
		p.fail(errors.New("--if-orphaned keep: a lease on a server ends soon after its berth, so the command is killed with it; drop it"))
	case what == "kill" && !procwatch.CanBind():
		p.fail(errors.New("--if-orphaned kill needs Linux: this system does not kill a process when its parent ends"))
	}
	return what
}

// ShownCommand is the part of a command that its lease records: enough to recognise it, not
// so much that reading the pool becomes slow, and no password of a URL, because all users of
// the store see it.
func ShownCommand(argv []string) []string {
	const most = 1024
	out, room := []string{}, most
	for _, a := range argv {
		a = storename.WithoutLogins(a)
		if len(a) > room {
			return append(out, strings.ToValidUTF8(a[:room], "\uFFFD")+"…")
		}
		out = append(out, strings.ToValidUTF8(a, "\uFFFD"))
		room -= len(a)
	}
	return out
}
