package words

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"berth/cmd/storename"
	"berth/cmd/text"
	"berth/lease"
	"berth/limiter/gate"
	"berth/procwatch"
)

// Run is what the words of 'berth run' ask for.
type Run struct {
	Store       storename.Spec
	Request     lease.Request
	Wait        time.Duration // in the line; negative: as long as it takes
	OnBusy      string        // fail, skip, run
	Timeout     time.Duration // of the child; 0: none
	IdleTimeout time.Duration // without keepalive; 0: none
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

func RunFlags() []cli.Flag {
	const slots, line, job, server, other = "Slots", "Waiting", "Running", "On a server", "Other"
	flags := []cli.Flag{
		NewString(cli.StringFlag{Category: slots, Name: "pool", Aliases: []string{"p"}, Value: "default", Usage: "`NAME` count the slots of this pool (default: default)"}),
		NewNumber(cli.StringFlag{Category: slots, Name: "slots", Aliases: []string{"n"}, Usage: "`N` start only while fewer than N slots of the pool are in use: a whole number, like 50% of the CPUs, or auto for as many as the machine carries, see Gates (default: the pool's own limit, else the number of CPUs)"}),
		NewNumber(cli.StringFlag{Category: slots, Name: "weight", Value: "1", Usage: "`K` take K slots at once (default: 1)"}),
		NewString(cli.StringFlag{Category: slots, Name: "hold", Value: "command", Usage: "`WHAT` keep the slot until the command ends (command), or until its last descendant does (tree) (default: command)"}),
		NewString(cli.StringFlag{Category: slots, Name: "nested", Value: "reuse", Usage: "`HOW` inside a job of the same pool: reuse its slot, take another, or fail (default: reuse)"}),

		NewNumber(cli.StringFlag{Category: line, Name: "wait", Usage: "`D` wait at most this long for a slot; 0 does not wait (default: for ever; 0 with --on-busy skip or run) [$BERTH_WAIT]"}),
		NewString(cli.StringFlag{Category: line, Name: "on-busy", Value: "fail", Usage: "`WHAT` when that time is over: fail (exit code 75), skip (0, nothing is run), or run without a slot (default: fail)"}),
		NewNumber(cli.StringFlag{Category: line, Name: "priority", Value: "0", Usage: "`P` from -20 to 20, like nice: lower goes first, equals in order of arrival (default: 0)"}),
		NewString(cli.StringFlag{Category: line, Name: "ticket", Usage: "`KEY` keep the place in the line, after giving up or being killed, for whoever comes back with the same KEY"}),
		NewNumber(cli.StringFlag{Category: line, Name: "ticket-grace", Value: "2m", Usage: "`D` keep it for so long (default: 2m)"}),

		NewNumber(cli.StringFlag{Category: job, Name: "timeout", Usage: "`D` end the command and all its descendants after this running time, exit code 124 (default: 0, never)"}),
		NewNumber(cli.StringFlag{Category: job, Name: "idle-timeout", Usage: "`D` the same after this time without 'berth keepalive' (default: 0, never)"}),
		NewNumber(cli.StringFlag{Category: job, Name: "signal", Value: "TERM", Usage: "`SIG` end a job with this signal first (default: TERM)"}),
		NewNumber(cli.StringFlag{Category: job, Name: "kill-after", Value: "10s", Usage: "`D` and with KILL so much later (default: 10s)"}),
		NewString(cli.StringFlag{Category: job, Name: "leftovers", Value: "keep", Usage: "`WHAT` processes still running when the command ends: keep them, or end them as above before the slot is given back (kill) (default: keep)"}),
		NewNumber(cli.StringFlag{Category: job, Name: "heartbeat", Value: "5s", Usage: "`D` write a sign of life this often, for 'berth ls' (default: 5s; at most 15s on Redis)"}),
		NewList(cli.StringSliceFlag{Category: job, Name: "label", Usage: "`K=V` show it in 'berth ls', and give it to the command as BERTH_LABEL_K; repeatable"}),
		NewBool(cli.BoolFlag{Category: job, Name: "exec", Usage: "become the command instead of watching it: one process less; not with --timeout, --idle-timeout, --signal, --kill-after, --hold, --leftovers or --heartbeat, nor with a store on a server"}),

		NewNumber(cli.StringFlag{Category: server, Name: "ttl", Value: "30s", Usage: "`D` the slot is free again when the store has not heard of its berth for about so long; from 1s to 24h (default: 30s)"}),
		NewString(cli.StringFlag{Category: server, Name: "on-lost", Usage: "`WHAT` when the lease is lost: end the command before anyone else may start, exit code 74 (kill), or let it run uncounted (warn) (default: kill; warn with a directory)"}),
		NewNumber(cli.StringFlag{Category: server, Name: "redis-wait", Value: "0", Usage: "`N` count on a grant or a sign of life only when N replicas of Redis have it (default: 0)"}),
	}
	return append(append(flags, GateFlags()...),
		StoreFlag(other), OwnerFlag(other), quietFlag(other),
		NewBool(cli.BoolFlag{Category: other, Name: "verbose", Aliases: []string{"v"}, Usage: "say when the slot is taken and given back [$BERTH_VERBOSE]"}))
}

// ParseRun turns the words into a spec, or says which of them is wrong.
func ParseRun(c *cli.Context) (*Run, error) {
	p := FlagParser{C: c}
	s := &Run{
		Store: StoreOf(c), Quiet: p.Switched("quiet"), Verbose: p.Switched("verbose"), Exec: c.Bool("exec"),
		Argv:        c.Args().Slice(),
		Wait:        p.wait(),
		OnBusy:      p.oneOf("on-busy", "fail", "skip", "run"),
		Hold:        p.oneOf("hold", "command", "tree"),
		Leftovers:   p.oneOf("leftovers", "keep", "kill"),
		Nested:      p.oneOf("nested", "reuse", "take", "fail"),
		OnLost:      p.onLost(),
		Signal:      p.signal("signal"),
		KillAfter:   p.duration("kill-after"),
		Timeout:     p.limit("timeout"),
		IdleTimeout: p.limit("idle-timeout"),
		Request:     p.request(),
	}
	s.Request.Signal, s.Request.KillAfter = int(s.Signal), s.KillAfter
	s.Request.Timeout, s.Request.IdleTimeout = s.Timeout, s.IdleTimeout
	s.Store.Replicas = p.count("redis-wait", 0, 9)
	if storename.IsURL(s.Store.Where) {
		s.Request.TTL = p.ttl()
		s.Request.Heartbeat = p.beat(s.Request.TTL)
	}
	if p.Err == nil {
		p.Err = p.disagree(s)
	}
	if p.Err != nil {
		return nil, Mistake(p.Err, "berth run")
	}
	return s, nil
}

// request is what goes into the line, but for who asks.
func (p *FlagParser) request() lease.Request {
	r := lease.Request{
		Pool:     p.C.String("pool"),
		Weight:   p.count("weight", 1, MaxSlots),
		Priority: p.count("priority", -20, 20),
		Key:      p.key("ticket"),
		Grace:    p.positive("ticket-grace"),
		Labels:   p.Labels("label"),
	}
	p.Check("pool", lease.CheckPool(r.Pool))
	t := p.Terms(Terms{})
	switch n := p.C.String("slots"); {
	case n == "auto":
		t, r.Limit = p.Auto(t)
	case p.C.IsSet("slots"):
		p.OnlyAuto("-n " + n)
		parsed(p, "slots", &r.Limit, func(s string) (int, error) { return ParseSlots(s, gate.CPUs) })
	default:
		p.OnlyAuto("the number of CPUs")
		r.Fallback = gate.CPUs()
	}
	p.Agree(t, r.Limit)
	r.Conditions = t.Pack()
	if beat := p.duration("heartbeat"); beat < 100*time.Millisecond {
		p.Check("heartbeat", fmt.Errorf("%q is too short (at least 100ms)", p.C.String("heartbeat")))
	} else if !p.C.Bool("exec") {
		r.Heartbeat = beat
	}
	return r
}

// onLost is "warn" with a directory: only somebody who removes its files can take a
// lease away there, and that is no reason to end a healthy job.
func (p *FlagParser) onLost() string {
	switch {
	case p.C.IsSet("on-lost"):
		return p.oneOf("on-lost", "kill", "warn")
	case storename.IsURL(StoreOf(p.C).Where):
		return "kill"
	}
	return "warn"
}

// mostWeight bounds the work of one step of a server, which does one at a time.
const mostWeight = 10000

const leastTTL, mostTTL = time.Second, 24 * time.Hour

func (p *FlagParser) ttl() time.Duration {
	ttl := p.duration("ttl")
	if ttl < leastTTL || ttl > mostTTL {
		p.Check("ttl", fmt.Errorf("%q is not from %v to %v", p.C.String("ttl"), text.Duration(leastTTL), text.Duration(mostTTL)))
	}
	return ttl
}

// beat is how often a lease of that TTL is renewed: three times at least.
func (p *FlagParser) beat(ttl time.Duration) time.Duration {
	beat := p.duration("heartbeat")
	if p.C.IsSet("heartbeat") && beat > ttl/3 {
		p.Check("heartbeat", fmt.Errorf("%q is longer than a third of --ttl %v", p.C.String("heartbeat"), ttl))
	}
	return min(beat, ttl/3)
}

// disagree says which words, each right by itself, do not go together.
func (p *FlagParser) disagree(s *Run) error {
	none := map[string]bool{"timeout": s.Timeout == 0, "idle-timeout": s.IdleTimeout == 0}
	for _, f := range []string{"timeout", "idle-timeout", "signal", "kill-after", "hold", "leftovers", "heartbeat"} {
		if s.Exec && p.C.IsSet(f) && !none[f] {
			return fmt.Errorf("--exec: leaves nobody to take care of --%s; drop one of them", f)
		}
	}
	remote := storename.IsURL(s.Store.Where)
	switch r := s.Request; {
	case !remote && p.C.IsSet("ttl"):
		return fmt.Errorf("--ttl %s: with a directory for a store a lease ends with its owner, and not by a clock; drop it", p.C.String("ttl"))
	case s.Store.Replicas > 0 && !strings.Contains(storename.Scheme(s.Store.Where), "redis") && storename.Scheme(s.Store.Where) != "unix":
		return fmt.Errorf("--redis-wait %d: the store is not on Redis; drop it", s.Store.Replicas)
	case remote && r.Weight > mostWeight:
		return fmt.Errorf("--weight %d: at most %d with a store on a server, which keeps a list of them", r.Weight, mostWeight)
	case remote && s.Exec:
		return fmt.Errorf("--exec: leaves nobody to renew the lease in a store on a server; drop it")
	case len(s.Argv) == 0:
		return p.noCommand()
	case s.Argv[0] == "":
		return fmt.Errorf("the command to run is an empty string")
	case r.Limit > 0 && r.Weight > r.Limit:
		return fmt.Errorf("--weight %d needs more than the %d slots that -n allows", r.Weight, r.Limit)
	case s.Hold == "tree" && !procwatch.CanWaitTree():
		return fmt.Errorf("--hold tree needs Linux: this system does not tell when the last descendant ends")
	case s.Hold == "tree" && s.Leftovers == "kill":
		return fmt.Errorf("--leftovers kill leaves nothing that --hold tree could wait for; drop one of them")
	case s.Leftovers == "kill" && !procwatch.CanWaitTree():
		return fmt.Errorf("--leftovers kill needs Linux: on this system what has lost its parent cannot be found")
	case s.IdleTimeout > 0 && s.OnBusy == "run":
		return fmt.Errorf("--idle-timeout %s needs a lease for 'berth keepalive', and --on-busy run may start without one", p.C.String("idle-timeout"))
	case r.Key == "" && p.C.IsSet("ticket-grace"):
		return fmt.Errorf("--ticket-grace needs --ticket KEY")
	}
	return nil
}

// noCommand tells one who writes a crontab, where % ends the line, what has become
// of '-n 50% -- COMMAND'. The flags are those with a % that can be cut off.
func (p *FlagParser) noCommand() error {
	err := errors.New("no command to run")
	for _, f := range []string{"slots", "max-cpu", "max-mem", "min-mem", "max-pressure", "target-cpu", "target-mem"} {
		v := p.C.String(f)
		if p.C.IsSet(f) && strings.Trim(v[max(0, len(v)-1):], "0123456789") == "" {
			return Hinted(err, fmt.Sprintf(`in a crontab %% ends the line; write \%% there: --%s %s\%%`, f, v))
		}
	}
	return err
}

// wait is negative for as long as it takes. Who says what is to be done instead of
// waiting does not wait.
func (p *FlagParser) wait() time.Duration {
	env := os.Getenv("BERTH_WAIT")
	switch {
	case p.C.IsSet("wait"):
		return p.duration("wait")
	case env == "" && (p.C.String("on-busy") == "skip" || p.C.String("on-busy") == "run"):
		return 0
	case env == "":
		return -1
	}
	d, err := ParseDuration(env)
	if err != nil && p.Err == nil {
		p.Err = fmt.Errorf("BERTH_WAIT: %w", err)
	}
	return d
}

// ShownCommand is what a lease tells of a command: enough to recognise it, and
// never so much that a long one makes every look at the pool slow, and no password of a
// URL, which everybody who may use the store would see.
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
