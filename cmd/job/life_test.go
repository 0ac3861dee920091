//go:build unix

package job

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/lease"
)

var stateNames = [states]string{"starting", "running", "ending", "reaping", "draining", "clearing", "handingBack", "done"}

var kindNames = [eventKinds]string{
	"nothing", "started", "stopped", "continued", "exited", "signalled", "renewed", "lost", "regained", "stopRequested", "treeGone",
	"timedOut", "leaseTimedOut", "idleOver", "leftoversNamed", "contDue", "keystrokeDue", "settled", "triedRelease", "leftUs",
}

func (k eventKind) String() string { return cmp.Or(kindNames[k], fmt.Sprintf("event kind %d", int(k))) }

var timerNames = [timers]string{"timeout", "lease", "idle", "cont", "keystroke", "settle"}

func (f effect) String() string {
	recordNames := map[Kind]string{
		Started: "started", HeartbeatFailed: "heartbeat failed", Lost: "lost", Regained: "regained", EndFailed: "end failed", Leftovers: "leftovers", Keepalive: "keepalive",
	}
	switch f.do {
	case setTimer:
		return fmt.Sprintf("%s in %v", timerNames[f.timer], f.after)
	case forward:
		return "forward " + strings.TrimPrefix(unix.SignalName(f.signal), "SIG")
	case endTree:
		if f.signal != syscall.SIGTERM {
			return fmt.Sprintf("end by %v", f.signal)
		}
		return fmt.Sprintf("end, KILL in %v", f.after)
	case killTree:
		return fmt.Sprintf("KILL in %v", f.after)
	case nameLeftovers:
		return fmt.Sprintf("name leftovers in %v", f.after)
	case report:
		return "report " + recordNames[f.record.Kind]
	default:
		return map[deed]string{bind: "bind", renew: "renew", suspendSelf: "suspend", waitTree: "wait", tryRelease: "release", tellAdopter: "tell adopter"}[f.do]
	}
}

func shown(state fmt.Stringer, effects []effect) string {
	words := []string{state.String()}
	for _, f := range effects {
		words = append(words, f.String())
	}
	return strings.Join(words, "; ")
}

func (s state) String() string { return cmp.Or(stateNames[s], fmt.Sprintf("state %d", int(s))) }

// now is when the events of the tables come.
var now = time.Unix(1000, 0)

// lifeIn is a job in that state, of which the command was started or has exited a second
// ago. What is being ended has 10 s until KILL.
func lifeIn(s state, spec Spec) life {
	l := life{Spec: &spec, state: s, busyAt: 100, keptAt: 100}
	switch s {
	case ending, reaping, clearing:
		l.killAt = now.Add(10 * time.Second)
	}
	if s >= draining {
		l.exitedAt = now.Add(-time.Second)
	}
	return l
}

var plain = Spec{Signal: syscall.SIGTERM, KillAfter: 5 * time.Second}

// lifeEvents are what can happen, each in the way in which it matters most.
var lifeEvents = []namedEvent{
	{"started", event{kind: started}},
	{"exited", event{kind: exited, code: 3}},
	{"TERM", event{kind: signalled, signal: syscall.SIGTERM}},
	{"timedOut", event{kind: timedOut}},
	{"leaseTimedOut", event{kind: leaseTimedOut}},
	{"idleOver", event{kind: idleOver}},
	{"renewed", event{kind: renewed}},
	{"failed", event{kind: renewed, err: syscall.EIO}},
	{"lost", event{kind: lost, err: lease.ErrLost, grace: 2 * time.Second}},
	{"regained", event{kind: regained}},
	{"stopRequested", event{kind: stopRequested, stop: &lease.Stop{KillAfter: new(time.Duration)}}},
	{"treeGone", event{kind: treeGone}},
	{"notEnded", event{kind: treeGone, err: syscall.EPERM}},
	{"leftoversNamed", event{kind: leftoversNamed, left: []string{"sleep"}}},
	{"leftUs", event{kind: leftUs}},
	{"triedRelease", event{kind: triedRelease}},
}

// TestLife is the whole table of a job's life: what each event means in each state, and
// what is to be done.
func TestLife(t *testing.T) {
	table := map[string]map[state]string{
		"started": {
			starting: "running; report started; bind", running: "running", ending: "ending", reaping: "reaping",
			draining: "draining", clearing: "clearing", done: "done",
		},
		"exited": {
			starting: "starting", running: "done", ending: "clearing", reaping: "done",
			draining: "draining", clearing: "clearing", done: "done",
		},
		"TERM": {
			starting: "starting; forward TERM", running: "running; forward TERM", ending: "ending; forward TERM", reaping: "reaping; forward TERM",
			draining: "clearing; end, KILL in 5s", clearing: "clearing; KILL in 0s", done: "done",
		},
		"timedOut": {
			starting: "starting", running: "ending; end, KILL in 5s", ending: "ending; KILL in 5s", reaping: "reaping; KILL in 5s",
			draining: "clearing; end, KILL in 5s", clearing: "clearing; KILL in 5s", done: "done",
		},
		"leaseTimedOut": {
			starting: "starting", running: "ending; end, KILL in 5s", ending: "ending; KILL in 5s", reaping: "reaping; KILL in 5s",
			draining: "clearing; end, KILL in 5s", clearing: "clearing; KILL in 5s", done: "done",
		},
		"idleOver": {
			starting: "starting", running: "running; renew", ending: "ending; renew", reaping: "reaping; renew",
			draining: "draining; renew", clearing: "clearing; renew", done: "done",
		},
		"renewed": {
			starting: "starting", running: "running", ending: "ending", reaping: "reaping",
			draining: "draining", clearing: "clearing", done: "done",
		},
		"failed": {
			starting: "starting", running: "running; report heartbeat failed", ending: "ending; report heartbeat failed",
			reaping: "reaping; report heartbeat failed", draining: "draining; report heartbeat failed", clearing: "clearing; report heartbeat failed", done: "done",
		},
		"lost": {
			starting: "starting", running: "ending; end, KILL in 2s", ending: "ending; KILL in 2s", reaping: "reaping; KILL in 2s",
			draining: "clearing; end, KILL in 2s", clearing: "clearing; KILL in 2s", done: "done",
		},
		"regained": {
			starting: "starting", running: "running; report regained", ending: "ending", reaping: "reaping",
			draining: "draining; report regained", clearing: "clearing", done: "done",
		},
		"stopRequested": {
			starting: "starting", running: "ending; end, KILL in 0s", ending: "ending; KILL in 0s", reaping: "reaping; KILL in 0s",
			draining: "clearing; end, KILL in 0s", clearing: "clearing; KILL in 0s", done: "done",
		},
		"treeGone": {
			starting: "starting", running: "running", ending: "reaping", reaping: "reaping",
			draining: "done", clearing: "done", done: "done",
		},
		"notEnded": {
			starting: "starting", running: "running", ending: "reaping; report end failed",
			reaping: "reaping", draining: "done; report end failed",
			clearing: "done; report end failed", done: "done",
		},
		"leftoversNamed": {
			starting: "starting", running: "running", ending: "ending", reaping: "reaping",
			draining: "draining", clearing: "clearing; report leftovers", done: "done",
		},
		"leftUs": {
			starting: "starting", running: "done", ending: "done", reaping: "reaping",
			draining: "draining", clearing: "clearing", done: "done",
		},
		"triedRelease": {
			starting: "starting", running: "running", ending: "ending", reaping: "reaping",
			draining: "draining", clearing: "clearing", done: "done",
		},
	}
	ofACommand := []state{starting, running, ending, reaping, draining, clearing, done}
	checkTable(t, table, lifeEvents, ofACommand, func(s state, e event) string {
		m, effects := machine{life: lifeIn(s, plain)}.on(e)
		return shown(m.life.state, effects)
	})
}

// TestLifeHasARowForEachEvent: an event that life handles is in lifeEvents.
func TestLifeHasARowForEachEvent(t *testing.T) {
	checkListed(t, lifeEvents, func(k eventKind) bool { return ofLife[k] != nil })
}

// namedEvent is the head of a table's column.
type namedEvent struct {
	name string
	e    event
}

// checkTable compares each state and event with its row.
func checkTable[S interface {
	~int
	fmt.Stringer
}](t *testing.T, table map[string]map[S]string, events []namedEvent, states []S, on func(S, event) string) {
	t.Helper()
	for _, ev := range events {
		ev.e.at = now
		for _, s := range states {
			want, ok := table[ev.name][s]
			if !ok {
				t.Errorf("%v, %s: there is no row", s, ev.name)
			} else if got := on(s, ev.e); got != want {
				t.Errorf("%v, %s:\ngot  %s\nwant %s", s, ev.name, got, want)
			}
		}
	}
}

// checkListed finds a kind of event that is handled and in no table.
func checkListed(t *testing.T, events []namedEvent, handled func(eventKind) bool) {
	t.Helper()
	for k := range eventKinds {
		if handled(k) && !slices.ContainsFunc(events, func(ev namedEvent) bool { return ev.e.kind == k }) {
			t.Errorf("no table has %v", k)
		}
	}
}

// TestLifeOfASpec: what the words of 'berth run' change about the table.
func TestLifeOfASpec(t *testing.T) {
	with := func(change func(*Spec)) Spec { s := plain; change(&s); return s }
	stop := &lease.Stop{}
	for _, c := range []struct {
		name string
		spec Spec
		from state
		kind eventKind
		e    event
		want string
	}{
		{"--timeout", with(func(s *Spec) { s.Timeout = time.Hour }), starting, started, event{}, "running; report started; bind; timeout in 1h0m0s"},
		{"--idle-timeout", with(func(s *Spec) { s.IdleTimeout = time.Hour }), starting, started, event{}, "running; report started; bind; idle in 1h0m0s"},
		{"--hold tree", with(func(s *Spec) { s.HoldTree = true }), running, exited, event{}, "draining; wait"},
		{"--hold tree, being ended", with(func(s *Spec) { s.HoldTree = true }), ending, exited, event{}, "clearing"},
		{"--leftovers kill", with(func(s *Spec) { s.EndLeftovers = true }), running, exited, event{}, "clearing; end, KILL in 5s"},
		{"--leftovers kill", with(func(s *Spec) { s.EndLeftovers, s.NameLeftovers = true, true }), running, exited, event{}, "clearing; end, KILL in 5s; name leftovers in 1s"},
		{"--leftovers kill, soon", with(func(s *Spec) { s.EndLeftovers, s.NameLeftovers, s.KillAfter = true, true, time.Second }), running, exited, event{}, "clearing; end, KILL in 1s"},
		{"--on-lost warn", with(func(s *Spec) { s.RunOnWhenLost = true }), running, lost, event{err: lease.ErrLost}, "running; report lost"},
		{"no grace of its own", plain, running, stopRequested, event{stop: stop}, "ending; end, KILL in 5s"},
		{"a longer grace", plain, ending, lost, event{grace: time.Minute}, "ending"},
		{"busy", with(func(s *Spec) { s.IdleTimeout = 50 }), running, renewed, event{clock: 140, keepalive: 120}, "running; report keepalive; idle in 30ns"},
		{"busy before that", with(func(s *Spec) { s.IdleTimeout = 50 }), running, renewed, event{clock: 140, keepalive: 90}, "running; idle in 10ns"},
		{"idle", with(func(s *Spec) { s.IdleTimeout = 50 }), running, renewed, event{clock: 150}, "ending; end, KILL in 5s"},
		{"idle, or cut off", with(func(s *Spec) { s.IdleTimeout = 50 }), running, renewed, event{clock: 150, err: syscall.EIO}, "running; report heartbeat failed; idle in 1s"},
	} {
		c.e.kind, c.e.at = c.kind, now
		m, effects := machine{life: lifeIn(c.from, c.spec)}.on(c.e)
		if got := shown(m.life.state, effects); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
}

// TestEndOfAnEndedTree: a command that is ended is not the end of the job, because its tree has to
// go first. But once the tree was ended, or refuses to, nothing but the exit is waited for.
func TestEndOfAnEndedTree(t *testing.T) {
	for _, c := range []struct {
		name   string
		events []event
		want   string // the states
	}{
		{"the command first", []event{{kind: timedOut}, {kind: exited}, {kind: treeGone}}, "ending clearing done"},
		{"the command first, its tree refuses", []event{{kind: timedOut}, {kind: exited}, {kind: treeGone, err: syscall.EPERM}}, "ending clearing done"},
		{"the exit is on its way", []event{{kind: timedOut}, {kind: treeGone}, {kind: exited}}, "ending reaping done"},
		{"the command refuses, and exits later", []event{{kind: timedOut}, {kind: treeGone, err: syscall.EPERM}, {kind: renewed}, {kind: exited}}, "ending reaping reaping done"},
		{"killed after that", []event{{kind: timedOut}, {kind: treeGone, err: syscall.EPERM}, {kind: lost, err: lease.ErrLost}, {kind: exited}}, "ending reaping reaping done"},
	} {
		m := machine{life: lifeIn(running, plain)}
		var got []string
		for _, e := range c.events {
			e.at = now
			m, _ = m.on(e)
			got = append(got, m.life.state.String())
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestResult: the first reason to end a job is the one that is reported, and a command that
// was ended has the signal that it got first.
func TestResult(t *testing.T) {
	stop := event{kind: stopRequested, stop: &lease.Stop{Reason: "maintenance"}}
	for _, c := range []struct {
		name   string
		from   state
		grace  time.Duration
		events []event
		first  syscall.Signal
		why    string
	}{
		{"by itself", running, 1, []event{{kind: exited, code: 3}}, 0, "<nil>"},
		{"stopped", running, 1, []event{stop, {kind: exited, code: 3}}, syscall.SIGTERM, "stopped: maintenance"},
		{"stopped at once", running, 0, []event{stop, {kind: exited, code: 3}}, syscall.SIGKILL, "stopped: maintenance"},
		{"stopped first", running, 1, []event{stop, {kind: timedOut}, {kind: exited, code: 3}}, syscall.SIGTERM, "stopped: maintenance"},
		{"its leftovers stopped", draining, 1, []event{stop}, 0, "stopped: maintenance"},
		{"its leftovers ended by a signal", draining, 1, []event{{kind: signalled, signal: syscall.SIGINT}, stop}, 0, "<nil>"},
	} {
		spec := plain
		spec.KillAfter = c.grace
		m := machine{life: lifeIn(c.from, spec)}
		if c.from >= draining {
			m.life.result.Code = 3
		}
		for _, e := range c.events {
			e.at = now
			m, _ = m.on(e)
		}
		r := m.life.result
		if got := fmt.Sprint(r.Why); got != c.why || r.First != c.first || r.Code != 3 {
			t.Errorf("%s: %d, first %v, %s; want 3, first %v, %s", c.name, r.Code, r.First, got, c.first, c.why)
		}
	}
}
