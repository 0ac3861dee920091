package words

import (
	"fmt"
	"os"
	"time"

	"berth/cmd/storename"
	"berth/cmd/text"
	"berth/lease"
	"berth/limiter/gate"
)

// Line is what was typed about slots: of which pools, in which store, and how to wait for
// them. It says nothing of what they are for.
type Line struct {
	Store    storename.Spec
	Requests []lease.Request // one of each pool, in the order in which they were typed; at least one
	Wait     time.Duration   // in the line; negative: without end
	OnBusy   string          // fail, skip, run, replace
	// Supersede sends older waiters of the same job away.
	Supersede bool
	Nested    string // reuse, take, fail
	Quiet     bool
	Verbose   bool
}

// First is the request of the pool that was typed first.
func (l *Line) First() *lease.Request { return &l.Requests[0] }

// The headings of the flags of those commands that take slots.
const (
	ofSlots   = "Slots"
	ofWaiting = "Waiting"
	ofRunning = "Running"
	ofHolding = "Holding"
	ofServers = "On a server"
	ofOthers  = "Other"
)

func slotFlags() []Flag {
	return []Flag{
		{Group: ofSlots, Name: "pool", Short: "p", Value: "NAME[:K]", Default: "default", Kind: List, Usage: "use this pool (default: default), and with :K take K slots of it at once; repeatable: slots of each, see berth help several"},
		{Group: ofSlots, Name: "slots", Short: "n", Value: "N", Kind: Number, Usage: "start only while fewer than N slots of the pool are in use: a number, a share of the CPUs like 50%, or auto for as many as the machine can handle, see berth help gates (default: the pool's own limit, else the number of CPUs)"},
		{Group: ofSlots, Name: "weight", Value: "K", Default: "1", Kind: Number, Usage: "take K slots at once (default: 1)"},
		{Group: ofSlots, Name: "nested", Value: "HOW", Default: "reuse", Usage: "inside a job of the same pool: reuse its slot, take another one, or fail (default: reuse)"},
	}
}

func waitFlags() []Flag {
	return []Flag{
		{Group: ofWaiting, Name: "wait", Value: "D", Kind: Number, Usage: "wait at most this long for a slot; 0 does not wait (default: forever; 0 with --on-busy, unless that is fail) [$BERTH_WAIT]"},
		{Group: ofWaiting, Name: "on-busy", Value: "WHAT", Default: "fail", Usage: "after that time: fail (exit code 75), skip (exit code 0, nothing runs), run without a slot, or replace: when this run is next in the line, end the oldest job of the same --job, else of the pool, and then the next, until there is room (default: fail)"},
		{Group: ofWaiting, Name: "supersede", Kind: Switch, Usage: "send away the waiters with the same --job that came before (they exit with 75); jobs that run stay"},
		{Group: ofWaiting, Name: "priority", Value: "P", Default: "0", Kind: Number, Usage: "from -20 to 20, like nice: the lower number goes first, equal ones in order of arrival (default: 0)"},
		{Group: ofWaiting, Name: "ticket", Value: "KEY", Usage: "when this berth gives up or is killed, keep its place in the line for the next one with the same KEY"},
		{Group: ofWaiting, Name: "ticket-grace", Value: "D", Default: "2m", Kind: Number, Usage: "keep the place for this long (default: 2m)"},
	}
}

// leaseFlags are about the record of a lease: how it is kept, and what it shows.
func leaseFlags() []Flag {
	return []Flag{
		{Group: ofRunning, Name: "heartbeat", Value: "D", Default: "5s", Kind: Number, Usage: "write a heartbeat this often; 'berth ls' shows its age (default: 5s; at most 15s on Redis)"},
		{Group: ofRunning, Name: "job", Value: "NAME", Usage: "say what this is a run of: shown in 'berth ls', and in BERTH_JOB for the command"},
		{Group: ofRunning, Name: "label", Value: "K=V", Kind: List, Usage: "show this label in 'berth ls', and set BERTH_LABEL_K for the command; repeatable"},
	}
}

func serverFlags() []Flag {
	return []Flag{
		{Group: ofServers, Name: "ttl", Value: "D", Default: "30s", Kind: Number, Usage: "free the slot about this long after the last heartbeat; from 1s to 24h (default: 30s)"},
		{Group: ofServers, Name: "redis-wait", Value: "N", Default: "0", Kind: Number, Usage: "accept a grant or a heartbeat only when N replicas of Redis have it (default: 0)"},
	}
}

func commonFlags() []Flag {
	return []Flag{
		storeFlag(ofOthers), ownerFlag(ofOthers), userStoreFlag(ofOthers),
		{Group: ofOthers, Name: "quiet", Short: "q", Kind: Switch, Usage: "no notes, and no messages while waiting [$BERTH_QUIET]"},
		{Group: ofOthers, Name: "verbose", Short: "v", Kind: Switch, Usage: "say when the slot is taken and freed [$BERTH_VERBOSE]"},
	}
}

// mostWeight bounds the work of one step of a server, which takes one step at a time.
const mostWeight = 10000

// line reads what was typed about slots. Its requests do not say who makes them.
func (p *parser) line() Line {
	l := Line{
		Store: p.store(), Quiet: p.switched("quiet"), Verbose: p.switched("verbose"),
		Wait:   p.wait(),
		OnBusy: p.choice("on-busy"), Supersede: p.on("supersede"),
		Nested: p.choice("nested"),
	}
	l.Store.Replicas = p.count("redis-wait", 0, 9)
	pools := p.poolsTyped()
	r := p.request(pools)
	if storename.IsURL(l.Store.Where) {
		r.TTL = p.ttl()
		r.Heartbeat = p.heartbeat(r.TTL)
	}
	l.Requests = spread(r, pools)
	p.fail(p.checkLine(&l))
	return l
}

// request is what the requests for slots of these pools have in common, without the process
// that makes them.
func (p *parser) request(pools []typedPool) lease.Request {
	r := lease.Request{
		Pool:     pools[0].name,
		Weight:   pools[0].weight,
		Priority: p.count("priority", -20, 20),
		Key:      p.key("ticket"),
		Grace:    p.positive("ticket-grace"),
		Job:      p.job("job"),
		Labels:   p.labels("label"),
	}
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

// wait is negative for a wait without end. With another --on-busy than fail the default is not
// to wait.
func (p *parser) wait() time.Duration {
	env := os.Getenv("BERTH_WAIT")
	switch {
	case p.isSet("wait"):
		return p.duration("wait")
	case env == "" && p.text("on-busy") != "fail":
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
