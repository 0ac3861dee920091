package cmd

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"berth/cmd/text"
	"berth/cmd/tty"
	"berth/cmd/words"
	"berth/lease"
	"berth/limiter/gate"
	"berth/procwatch"
)

// runSpec is what the words of 'berth run' ask for.
type runSpec struct {
	store   storeOptions
	request lease.Request
	wait    time.Duration // in the line; negative: as long as it takes
	onBusy  string        // fail, skip, run
	timeout time.Duration // of the child; 0: none
	idle    time.Duration // without keepalive; 0: none
	signal  syscall.Signal
	kill    time.Duration // from signal to KILL
	hold    string        // command, tree
	rest    string        // keep, kill: what the command leaves behind
	onLost  string        // kill, warn
	nested  string        // reuse, take, fail
	exec    bool
	quiet   bool
	verbose bool
	argv    []string
}

func runFlags() []cli.Flag {
	const slots, line, job, server, other = "Slots", "Waiting", "Running", "On a server", "Other"
	flags := []cli.Flag{
		newString(cli.StringFlag{Category: slots, Name: "pool", Aliases: []string{"p"}, Value: "default", Usage: "`NAME` count the slots of this pool (default: default)"}),
		newNumber(cli.StringFlag{Category: slots, Name: "slots", Aliases: []string{"n"}, Usage: "`N` start only while fewer than N slots of the pool are in use: a whole number, like 50% of the CPUs, or auto for as many as the machine carries, see Gates (default: the pool's own limit, else the number of CPUs)"}),
		newNumber(cli.StringFlag{Category: slots, Name: "weight", Value: "1", Usage: "`K` take K slots at once (default: 1)"}),
		newString(cli.StringFlag{Category: slots, Name: "hold", Value: "command", Usage: "`WHAT` keep the slot until the command ends (command), or until its last descendant does (tree) (default: command)"}),
		newString(cli.StringFlag{Category: slots, Name: "nested", Value: "reuse", Usage: "`HOW` inside a job of the same pool: reuse its slot, take another, or fail (default: reuse)"}),

		newNumber(cli.StringFlag{Category: line, Name: "wait", Usage: "`D` wait at most this long for a slot; 0 does not wait (default: for ever; 0 with --on-busy skip or run) [$BERTH_WAIT]"}),
		newString(cli.StringFlag{Category: line, Name: "on-busy", Value: "fail", Usage: "`WHAT` when that time is over: fail (exit code 75), skip (0, nothing is run), or run without a slot (default: fail)"}),
		newNumber(cli.StringFlag{Category: line, Name: "priority", Value: "0", Usage: "`P` from -20 to 20, like nice: lower goes first, equals in order of arrival (default: 0)"}),
		newString(cli.StringFlag{Category: line, Name: "ticket", Usage: "`KEY` keep the place in the line, after giving up or being killed, for whoever comes back with the same KEY"}),
		newNumber(cli.StringFlag{Category: line, Name: "ticket-grace", Value: "2m", Usage: "`D` keep it for so long (default: 2m)"}),

		newNumber(cli.StringFlag{Category: job, Name: "timeout", Usage: "`D` end the command and all its descendants after this running time, exit code 124 (default: 0, never)"}),
		newNumber(cli.StringFlag{Category: job, Name: "idle-timeout", Usage: "`D` the same after this time without 'berth keepalive' (default: 0, never)"}),
		newNumber(cli.StringFlag{Category: job, Name: "signal", Value: "TERM", Usage: "`SIG` end a job with this signal first (default: TERM)"}),
		newNumber(cli.StringFlag{Category: job, Name: "kill-after", Value: "10s", Usage: "`D` and with KILL so much later (default: 10s)"}),
		newString(cli.StringFlag{Category: job, Name: "leftovers", Value: "keep", Usage: "`WHAT` processes still running when the command ends: keep them, or end them as above before the slot is given back (kill) (default: keep)"}),
		newNumber(cli.StringFlag{Category: job, Name: "heartbeat", Value: "5s", Usage: "`D` write a sign of life this often, for 'berth ls' (default: 5s; at most 15s on Redis)"}),
		newList(cli.StringSliceFlag{Category: job, Name: "label", Usage: "`K=V` show it in 'berth ls', and give it to the command as BERTH_LABEL_K; repeatable"}),
		newBool(cli.BoolFlag{Category: job, Name: "exec", Usage: "become the command instead of watching it: one process less; not with --timeout, --idle-timeout, --signal, --kill-after, --hold, --leftovers or --heartbeat, nor with a store on a server"}),

		newNumber(cli.StringFlag{Category: server, Name: "ttl", Value: "30s", Usage: "`D` the slot is free again when the store has not heard of its berth for about so long; from 1s to 24h (default: 30s)"}),
		newString(cli.StringFlag{Category: server, Name: "on-lost", Usage: "`WHAT` when the lease is lost: end the command before anyone else may start, exit code 74 (kill), or let it run uncounted (warn) (default: kill; warn with a directory)"}),
		newNumber(cli.StringFlag{Category: server, Name: "redis-wait", Value: "0", Usage: "`N` count on a grant or a sign of life only when N replicas of Redis have it (default: 0)"}),
	}
	return append(append(flags, gateFlags()...),
		storeFlag(other), ownerFlag(other), quietFlag(other),
		newBool(cli.BoolFlag{Category: other, Name: "verbose", Aliases: []string{"v"}, Usage: "say when the slot is taken and given back [$BERTH_VERBOSE]"}))
}

func storeFlag(category string) cli.Flag {
	return newString(cli.StringFlag{Category: category, Name: "store", Usage: "`WHERE` find the pools there: a directory, or redis://HOST/DB, etcd://HOST,HOST/PREFIX and others, see README (default: /var/tmp/berth-UID) [$BERTH_STORE]"})
}

func ownerFlag(category string) cli.Flag {
	return newString(cli.StringFlag{Category: category, Name: "store-owner", Usage: "`USER` the directory has to belong to this user, by name or uid; root uses no other's without it [$BERTH_STORE_OWNER]"})
}

func quietFlag(category string) cli.Flag {
	return newBool(cli.BoolFlag{Category: category, Name: "quiet", Aliases: []string{"q"}, Usage: "no notes, nothing while waiting [$BERTH_QUIET]"})
}

// parseRun turns the words into a spec, or says which of them is wrong.
func parseRun(c *cli.Context) (*runSpec, error) {
	p := flagParser{c: c}
	s := &runSpec{
		store: storeOf(c), quiet: p.switched("quiet"), verbose: p.switched("verbose"), exec: c.Bool("exec"),
		argv:    c.Args().Slice(),
		wait:    p.wait(),
		onBusy:  p.oneOf("on-busy", "fail", "skip", "run"),
		hold:    p.oneOf("hold", "command", "tree"),
		rest:    p.oneOf("leftovers", "keep", "kill"),
		nested:  p.oneOf("nested", "reuse", "take", "fail"),
		onLost:  p.onLost(),
		signal:  p.signal("signal"),
		kill:    p.duration("kill-after"),
		timeout: p.limit("timeout"),
		idle:    p.limit("idle-timeout"),
		request: p.request(),
	}
	s.request.Signal, s.request.KillAfter = int(s.signal), s.kill
	s.request.Timeout, s.request.IdleTimeout = s.timeout, s.idle
	s.store.replicas = p.count("redis-wait", 0, 9)
	if isURL(s.store.where) {
		s.request.TTL = p.ttl()
		s.request.Heartbeat = p.beat(s.request.TTL)
	}
	if p.err == nil {
		p.err = p.disagree(s)
	}
	if p.err != nil {
		return nil, &usageError{err: p.err, cmd: "berth run"}
	}
	return s, nil
}

// request is what goes into the line, but for who asks.
func (p *flagParser) request() lease.Request {
	r := lease.Request{
		Pool:     p.c.String("pool"),
		Weight:   p.count("weight", 1, words.MaxSlots),
		Priority: p.count("priority", -20, 20),
		Key:      p.key("ticket"),
		Grace:    p.positive("ticket-grace"),
		Labels:   p.labels("label"),
	}
	p.check("pool", lease.CheckPool(r.Pool))
	t := p.terms(terms{})
	switch n := p.c.String("slots"); {
	case n == "auto":
		t, r.Limit = p.auto(t)
	case p.c.IsSet("slots"):
		p.onlyAuto("-n " + n)
		parsed(p, "slots", &r.Limit, func(s string) (int, error) { return words.ParseSlots(s, gate.CPUs) })
	default:
		p.onlyAuto("the number of CPUs")
		r.Fallback = gate.CPUs()
	}
	p.agree(t, r.Limit)
	r.Conditions = t.pack()
	if beat := p.duration("heartbeat"); beat < 100*time.Millisecond {
		p.check("heartbeat", fmt.Errorf("%q is too short (at least 100ms)", p.c.String("heartbeat")))
	} else if !p.c.Bool("exec") {
		r.Heartbeat = beat
	}
	return r
}

// onLost is "warn" with a directory: only somebody who removes its files can take a
// lease away there, and that is no reason to end a healthy job.
func (p *flagParser) onLost() string {
	switch {
	case p.c.IsSet("on-lost"):
		return p.oneOf("on-lost", "kill", "warn")
	case isURL(storeOf(p.c).where):
		return "kill"
	}
	return "warn"
}

// mostWeight bounds the work of one step of a server, which does one at a time.
const mostWeight = 10000

const leastTTL, mostTTL = time.Second, 24 * time.Hour

func (p *flagParser) ttl() time.Duration {
	ttl := p.duration("ttl")
	if ttl < leastTTL || ttl > mostTTL {
		p.check("ttl", fmt.Errorf("%q is not from %v to %v", p.c.String("ttl"), text.Duration(leastTTL), text.Duration(mostTTL)))
	}
	return ttl
}

// beat is how often a lease of that TTL is renewed: three times at least.
func (p *flagParser) beat(ttl time.Duration) time.Duration {
	beat := p.duration("heartbeat")
	if p.c.IsSet("heartbeat") && beat > ttl/3 {
		p.check("heartbeat", fmt.Errorf("%q is longer than a third of --ttl %v", p.c.String("heartbeat"), ttl))
	}
	return min(beat, ttl/3)
}

// disagree says which words, each right by itself, do not go together.
func (p *flagParser) disagree(s *runSpec) error {
	none := map[string]bool{"timeout": s.timeout == 0, "idle-timeout": s.idle == 0}
	for _, f := range []string{"timeout", "idle-timeout", "signal", "kill-after", "hold", "leftovers", "heartbeat"} {
		if s.exec && p.c.IsSet(f) && !none[f] {
			return fmt.Errorf("--exec: leaves nobody to take care of --%s; drop one of them", f)
		}
	}
	remote := isURL(s.store.where)
	switch r := s.request; {
	case !remote && p.c.IsSet("ttl"):
		return fmt.Errorf("--ttl %s: with a directory for a store a lease ends with its owner, and not by a clock; drop it", p.c.String("ttl"))
	case s.store.replicas > 0 && !strings.Contains(schemeOf(s.store.where), "redis") && schemeOf(s.store.where) != "unix":
		return fmt.Errorf("--redis-wait %d: the store is not on Redis; drop it", s.store.replicas)
	case remote && r.Weight > mostWeight:
		return fmt.Errorf("--weight %d: at most %d with a store on a server, which keeps a list of them", r.Weight, mostWeight)
	case remote && s.exec:
		return fmt.Errorf("--exec: leaves nobody to renew the lease in a store on a server; drop it")
	case len(s.argv) == 0:
		return p.noCommand()
	case s.argv[0] == "":
		return fmt.Errorf("the command to run is an empty string")
	case r.Limit > 0 && r.Weight > r.Limit:
		return fmt.Errorf("--weight %d needs more than the %d slots that -n allows", r.Weight, r.Limit)
	case s.hold == "tree" && !procwatch.CanWaitTree():
		return fmt.Errorf("--hold tree needs Linux: this system does not tell when the last descendant ends")
	case s.hold == "tree" && s.rest == "kill":
		return fmt.Errorf("--leftovers kill leaves nothing that --hold tree could wait for; drop one of them")
	case s.rest == "kill" && !procwatch.CanWaitTree():
		return fmt.Errorf("--leftovers kill needs Linux: on this system what has lost its parent cannot be found")
	case s.idle > 0 && s.onBusy == "run":
		return fmt.Errorf("--idle-timeout %s needs a lease for 'berth keepalive', and --on-busy run may start without one", p.c.String("idle-timeout"))
	case r.Key == "" && p.c.IsSet("ticket-grace"):
		return fmt.Errorf("--ticket-grace needs --ticket KEY")
	}
	return nil
}

// noCommand tells one who writes a crontab, where % ends the line, what has become
// of '-n 50% -- COMMAND'. The flags are those with a % that can be cut off.
func (p *flagParser) noCommand() error {
	err := errors.New("no command to run")
	for _, f := range []string{"slots", "max-cpu", "max-mem", "min-mem", "max-pressure", "target-cpu", "target-mem"} {
		v := p.c.String(f)
		if p.c.IsSet(f) && strings.Trim(v[max(0, len(v)-1):], "0123456789") == "" {
			return &hintedError{err, fmt.Sprintf(`in a crontab %% ends the line; write \%% there: --%s %s\%%`, f, v)}
		}
	}
	return err
}

// storeOf is the store that --store or else BERTH_STORE names, and its owner. An empty
// variable is one that is not set; the library would take it for a value.
func storeOf(c *cli.Context) storeOptions {
	o := storeOptions{where: os.Getenv("BERTH_STORE"), from: "BERTH_STORE", owner: os.Getenv("BERTH_STORE_OWNER")}
	if c.IsSet("store") {
		o.where, o.from = c.String("store"), "--store"
	}
	if c.IsSet("store-owner") {
		o.owner, o.byFlag = c.String("store-owner"), true
	}
	return o
}

// flagParser keeps the first error.
type flagParser struct {
	c   *cli.Context
	err error
}

func (p *flagParser) check(name string, err error) {
	if err != nil && p.err == nil {
		p.err = fmt.Errorf("--%s: %w", name, err)
	}
}

// switched is a switch that BERTH_NAME can set, too.
func (p *flagParser) switched(name string) bool {
	env := "BERTH_" + strings.ToUpper(name)
	v := strings.ToLower(os.Getenv(env))
	switch {
	case p.c.IsSet(name):
		return p.c.Bool(name)
	case v == "1" || v == "true" || v == "yes":
		return true
	case v != "" && v != "0" && v != "false" && v != "no" && p.err == nil:
		p.err = fmt.Errorf("%s: %q is neither 1 nor 0", env, os.Getenv(env))
	}
	return false
}

func (p *flagParser) oneOf(name string, words ...string) string {
	v := p.c.String(name)
	for _, w := range words {
		if v == w {
			return v
		}
	}
	p.check(name, fmt.Errorf("%q is none of %s", v, strings.Join(words, ", ")))
	return ""
}

func (p *flagParser) duration(name string) time.Duration {
	d, err := words.ParseDuration(p.c.String(name))
	p.check(name, err)
	return d
}

// limit is 0 for a flag that was not given, and for none.
func (p *flagParser) limit(name string) time.Duration {
	if !p.c.IsSet(name) {
		return 0
	}
	return p.duration(name)
}

func (p *flagParser) positive(name string) time.Duration {
	d := p.duration(name)
	if d == 0 {
		p.check(name, fmt.Errorf("%q is no time at all", p.c.String(name)))
	}
	return d
}

// wait is negative for as long as it takes. Who says what is to be done instead of
// waiting does not wait.
func (p *flagParser) wait() time.Duration {
	env := os.Getenv("BERTH_WAIT")
	switch {
	case p.c.IsSet("wait"):
		return p.duration("wait")
	case env == "" && (p.c.String("on-busy") == "skip" || p.c.String("on-busy") == "run"):
		return 0
	case env == "":
		return -1
	}
	d, err := words.ParseDuration(env)
	if err != nil && p.err == nil {
		p.err = fmt.Errorf("BERTH_WAIT: %w", err)
	}
	return d
}

func (p *flagParser) count(name string, low, high int) int {
	n, err := words.ParseCount(p.c.String(name), "valid", low, high, "")
	p.check(name, err)
	return n
}

func (p *flagParser) signal(name string) syscall.Signal {
	sig, err := tty.ParseSignal(p.c.String(name))
	p.check(name, err)
	return sig
}

// maxKey bounds a ticket's key.
const maxKey = 256

// key is "" for a flag that was not given.
func (p *flagParser) key(name string) string {
	k := p.c.String(name)
	switch {
	case len(k) > maxKey || !utf8.ValidString(k):
		p.check(name, fmt.Errorf("a KEY of %d bytes that is not UTF-8 or longer than %d bytes", len(k), maxKey))
	case k == "" && p.c.IsSet(name):
		p.check(name, fmt.Errorf("\"\" is not a KEY: it must not be empty"))
	}
	return k
}

// maxLabels bounds what labels add to a record that is read at every look.
const maxLabels = 4096

func (p *flagParser) labels(name string) map[string]string {
	labels, size := map[string]string{}, 0
	for _, l := range p.c.StringSlice(name) {
		k, v, err := words.ParseLabel(l)
		if before, twice := labels[k]; twice && err == nil {
			err = fmt.Errorf("%s is given twice, as %q and as %q: leave one out", k, before, v)
		}
		p.check(name, err)
		labels[k] = v
		size += len(l)
	}
	if size > maxLabels {
		p.check(name, fmt.Errorf("%d bytes of labels are too many (at most %d)", size, maxLabels))
	}
	return labels
}

// shownCommand is what a lease tells of a command: enough to recognise it, and
// never so much that a long one makes every look at the pool slow, and no password of a
// URL, which everybody who may use the store would see.
func shownCommand(argv []string) []string {
	const most = 1024
	out, room := []string{}, most
	for _, a := range argv {
		a = withoutLogins(a)
		if len(a) > room {
			return append(out, strings.ToValidUTF8(a[:room], "\uFFFD")+"…")
		}
		out = append(out, strings.ToValidUTF8(a, "\uFFFD"))
		room -= len(a)
	}
	return out
}
