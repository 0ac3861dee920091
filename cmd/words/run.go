package words

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"berth/cmd/storename"
	"berth/cmd/text"
	"berth/lease"
	"berth/limiter/gate"
)

// Run is the request of 'berth run'.
type Run struct {
	Store       storename.Spec
	Request     lease.Request
	Wait        time.Duration // in the line; negative: without end
	OnBusy      string        // fail, skip, run
	Timeout     time.Duration // of the command; 0: none
	IdleTimeout time.Duration // without a keepalive; 0: none
	Signal      syscall.Signal
	KillAfter   time.Duration // from signal to KILL
	Hold        string        // command, tree
	Leftovers   string        // keep, kill: what the command leaves behind
	OnLost      string        // kill, warn
	Nested      string        // reuse, take, fail
	Exec        bool
	Quiet       bool
	Verbose     bool
	Argv        []string
}

func runFlags() []Flag {
	const slots, line, job, server, other = "Slots", "Waiting", "Running", "On a server", "Other"
	flags := []Flag{
		{Group: slots, Name: "pool", Short: "p", Value: "NAME", Default: "default", Usage: "use this pool (default: default)"},
		{Group: slots, Name: "slots", Short: "n", Value: "N", Kind: Number, Usage: "start only while fewer than N slots of the pool are in use: a number, a share of the CPUs like 50%, or auto for as many as the machine can handle, see berth help gates (default: the pool's own limit, else the number of CPUs)"},
		{Group: slots, Name: "weight", Value: "K", Default: "1", Kind: Number, Usage: "take K slots at once (default: 1)"},
		{Group: slots, Name: "hold", Value: "WHAT", Default: "command", Usage: "keep the slot until the command ends (command), or until its last descendant ends (tree) (default: command)"},
		{Group: slots, Name: "nested", Value: "HOW", Default: "reuse", Usage: "inside a job of the same pool: reuse its slot, take another one, or fail (default: reuse)"},

		{Group: line, Name: "wait", Value: "D", Kind: Number, Usage: "wait at most this long for a slot; 0 does not wait (default: forever; 0 with --on-busy skip or run) [$BERTH_WAIT]"},
		{Group: line, Name: "on-busy", Value: "WHAT", Default: "fail", Usage: "after that time: fail (exit code 75), skip (exit code 0, nothing runs), or run without a slot (default: fail)"},
		{Group: line, Name: "priority", Value: "P", Default: "0", Kind: Number, Usage: "from -20 to 20, like nice: the lower number goes first, equal ones in order of arrival (default: 0)"},
		{Group: line, Name: "ticket", Value: "KEY", Usage: "when this berth gives up or is killed, keep its place in the line for the next one with the same KEY"},
		{Group: line, Name: "ticket-grace", Value: "D", Default: "2m", Kind: Number, Usage: "keep the place for this long (default: 2m)"},

		{Group: job, Name: "timeout", Value: "D", Kind: Number, Usage: "end the command and all its descendants after this running time; exit code 124 (default: 0, never)"},
		{Group: job, Name: "idle-timeout", Value: "D", Kind: Number, Usage: "end the command and all its descendants after this time without a 'berth keepalive'; exit code 124 (default: 0, never)"},
		{Group: job, Name: "signal", Value: "SIG", Default: "TERM", Kind: Number, Usage: "end a job with this signal first (default: TERM)"},
		{Group: job, Name: "kill-after", Value: "D", Default: "10s", Kind: Number, Usage: "send KILL this long after that signal (default: 10s)"},
		{Group: job, Name: "leftovers", Value: "WHAT", Default: "keep", Usage: "what to do with processes that still run when the command ends: keep them, or end them before the slot is freed (kill) (default: keep)"},
		{Group: job, Name: "heartbeat", Value: "D", Default: "5s", Kind: Number, Usage: "write a heartbeat this often; 'berth ls' shows its age (default: 5s; at most 15s on Redis)"},
		{Group: job, Name: "label", Value: "K=V", Kind: List, Usage: "show this label in 'berth ls', and set BERTH_LABEL_K for the command; repeatable"},
		{Group: job, Name: "exec", Kind: Switch, Usage: "become the command instead of supervising it: one process less; not with --timeout, --idle-timeout, --signal, --kill-after, --hold, --leftovers or --heartbeat, nor with a store on a server"},

		{Group: server, Name: "ttl", Value: "D", Default: "30s", Kind: Number, Usage: "free the slot about this long after the last heartbeat; from 1s to 24h (default: 30s)"},
		{Group: server, Name: "on-lost", Value: "WHAT", Usage: "when the lease is lost: end the command before another one may start, exit code 74 (kill), or let it run uncounted (warn) (default: kill; warn with a directory)"},
		{Group: server, Name: "redis-wait", Value: "N", Default: "0", Kind: Number, Usage: "accept a grant or a heartbeat only when N replicas of Redis have it (default: 0)"},
	}
	return append(append(flags, gateFlags()...),
		storeFlag(other), ownerFlag(other),
		Flag{Group: other, Name: "quiet", Short: "q", Kind: Switch, Usage: "no notes, and no messages while waiting [$BERTH_QUIET]"},
		Flag{Group: other, Name: "verbose", Short: "v", Kind: Switch, Usage: "say when the slot is taken and freed [$BERTH_VERBOSE]"})
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
		Store: p.store(), Quiet: p.switched("quiet"), Verbose: p.switched("verbose"), Exec: p.on("exec"),
		Argv:        p.operands(),
		Wait:        p.wait(),
		OnBusy:      p.choice("on-busy"),
		Hold:        p.choice("hold"),
		Leftovers:   p.choice("leftovers"),
		Nested:      p.choice("nested"),
		OnLost:      p.onLost(),
		Signal:      p.signal("signal"),
		KillAfter:   p.duration("kill-after"),
		Timeout:     p.limit("timeout"),
		IdleTimeout: p.limit("idle-timeout"),
		Request:     p.request(),
	}
	r.Request.Signal, r.Request.KillAfter = int(r.Signal), r.KillAfter
	r.Request.Timeout, r.Request.IdleTimeout = r.Timeout, r.IdleTimeout
	r.Store.Replicas = p.count("redis-wait", 0, 9)
	if storename.IsURL(r.Store.Where) {
		r.Request.TTL = p.ttl()
		r.Request.Heartbeat = p.heartbeat(r.Request.TTL)
	}
	p.fail(p.checkConflicts(&r))
	return r
}

// request is the request for slots, without the process that makes it.
func (p *parser) request() lease.Request {
	r := lease.Request{
		Pool:     p.text("pool"),
		Weight:   p.count("weight", 1, MaxSlots),
		Priority: p.count("priority", -20, 20),
		Key:      p.key("ticket"),
		Grace:    p.positive("ticket-grace"),
		Labels:   p.labels("label"),
	}
	p.check("pool", lease.CheckPool(r.Pool))
	t := p.conditions(conditions{})
	switch n := p.text("slots"); {
	case n == "auto":
		t, r.Limit = p.auto(t)
	case p.isSet("slots"):
		p.onlyAuto("-n " + n)
		parsed(p, "slots", &r.Limit, func(s string) (int, error) {
			slots, err := ParseSlots(s, gate.CPUs)
			if err != nil && s == "0" {
				err = Hinted(err, fmt.Sprintf("berth limit %s 0 drains the pool: no new job starts", r.Pool))
			}
			return slots, err
		})
	default:
		p.onlyAuto("the number of CPUs")
		r.Fallback = gate.CPUs()
	}
	p.checkConditions(t, r.Limit)
	r.Conditions = t.pack()
	if every := p.duration("heartbeat"); every < 100*time.Millisecond {
		p.check("heartbeat", fmt.Errorf("%q is too short (at least 100ms)", p.text("heartbeat")))
	} else if !p.on("exec") {
		r.Heartbeat = every
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

// mostWeight bounds the work of one step of a server, which takes one step at a time.
const mostWeight = 10000

const leastTTL, mostTTL = time.Second, 24 * time.Hour

func (p *parser) ttl() time.Duration {
	ttl := p.duration("ttl")
	if ttl < leastTTL || ttl > mostTTL {
		p.check("ttl", fmt.Errorf("%q is not from %v to %v", p.text("ttl"), text.Duration(leastTTL), text.Duration(mostTTL)))
	}
	return ttl
}

// heartbeat is the interval at which a lease of that TTL is renewed: at most a third of it.
func (p *parser) heartbeat(ttl time.Duration) time.Duration {
	every := p.duration("heartbeat")
	if p.isSet("heartbeat") && every > ttl/3 {
		p.check("heartbeat", fmt.Errorf("%q is longer than a third of --ttl %v", p.text("heartbeat"), ttl))
	}
	return min(every, ttl/3)
}

// wait is negative for a wait without end. With --on-busy skip or run the default is not to
// wait.
func (p *parser) wait() time.Duration {
	env := os.Getenv("BERTH_WAIT")
	switch {
	case p.isSet("wait"):
		return p.duration("wait")
	case env == "" && (p.text("on-busy") == "skip" || p.text("on-busy") == "run"):
		return 0
	case env == "":
		return -1
	}
	d, err := ParseDuration(env)
	if err != nil && p.err == nil {
		p.err = fmt.Errorf("BERTH_WAIT: %w", err)
	}
	return d
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
