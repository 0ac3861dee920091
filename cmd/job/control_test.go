//go:build unix

package job

import (
	"syscall"
	"testing"
	"time"

	"berth/cmd/tty"
)

func (s controlState) String() string {
	return [controlStates]string{"together", "apart", "keystroke", "settling", "commandGone", "goneSettling"}[s]
}

// controlIn is in that state, in a session with a terminal, with a command that was
// suspended once, before the last CONT.
func controlIn(s controlState) control {
	return control{state: s, terminal: true, by: tty.TSTP, stops: 1, atCont: 1}
}

// jobIn is a job of which job control is in that state.
func jobIn(s controlState) machine {
	m := machine{life: lifeIn(running, plain), control: controlIn(s)}
	if s == commandGone || s == goneSettling {
		m.life = lifeIn(draining, plain)
	}
	return m
}

// controlEvents are what can happen, each in the ways that make a difference.
var controlEvents = []namedEvent{
	{"stopped", event{kind: stopped, signal: tty.STOP}},
	{"stopped in the foreground", event{kind: stopped, signal: tty.TSTP, foreground: true}},
	{"continued", event{kind: continued}},
	{"Ctrl-Z", event{kind: signalled, signal: tty.TSTP, typed: true}},
	{"TSTP", event{kind: signalled, signal: tty.TSTP}},
	{"CONT", event{kind: signalled, signal: tty.CONT}},
	{"contDue", event{kind: contDue}},
	{"keystrokeDue", event{kind: keystrokeDue}},
	{"keystrokeDue in the foreground", event{kind: keystrokeDue, foreground: true}},
	{"settled", event{kind: settled, stillStopped: true}},
	{"settled, and resumed", event{kind: settled}},
	{"exited", event{kind: exited}},
	{"timedOut", event{kind: timedOut}},
}

// TestControl is the whole table of job control: what each event means in each state, and
// what is to be done.
func TestControl(t *testing.T) {
	table := map[string]map[controlState]string{
		"stopped": {
			together: "apart", apart: "apart", keystroke: "keystroke", settling: "settling",
			commandGone: "commandGone", goneSettling: "goneSettling",
		},
		"stopped in the foreground": {
			together: "keystroke; keystroke in 50ms", apart: "keystroke; keystroke in 50ms", keystroke: "keystroke", settling: "settling",
			commandGone: "commandGone", goneSettling: "goneSettling",
		},
		"continued": {
			together: "together", apart: "together", keystroke: "together", settling: "together",
			commandGone: "commandGone", goneSettling: "goneSettling",
		},
		"Ctrl-Z": {
			together: "together", apart: "settling; settle in 5ms", keystroke: "settling; settle in 5ms", settling: "settling",
			commandGone: "goneSettling; settle in 5ms", goneSettling: "goneSettling",
		},
		"TSTP": {
			together: "together; forward TSTP", apart: "settling; forward TSTP; settle in 5ms",
			keystroke: "settling; forward TSTP; settle in 5ms", settling: "settling; forward TSTP",
			commandGone: "goneSettling; settle in 5ms", goneSettling: "goneSettling",
		},
		"CONT": {
			together: "together; renew; cont in 20ms", apart: "apart; renew; cont in 20ms", keystroke: "keystroke; renew; cont in 20ms",
			settling: "apart; renew; cont in 20ms", commandGone: "commandGone; renew", goneSettling: "commandGone; renew",
		},
		"contDue": {
			together: "together", apart: "apart; forward CONT", keystroke: "keystroke; forward CONT", settling: "settling; forward CONT",
			commandGone: "commandGone", goneSettling: "goneSettling",
		},
		"keystrokeDue": {
			together: "together", apart: "apart", keystroke: "apart", settling: "settling",
			commandGone: "commandGone", goneSettling: "goneSettling",
		},
		"keystrokeDue in the foreground": {
			together: "together", apart: "apart", keystroke: "settling; settle in 5ms", settling: "settling",
			commandGone: "commandGone", goneSettling: "goneSettling",
		},
		"settled": {
			together: "together", apart: "apart", keystroke: "keystroke", settling: "apart; suspend",
			commandGone: "commandGone", goneSettling: "commandGone; suspend",
		},
		"settled, and resumed": {
			together: "together", apart: "apart", keystroke: "keystroke", settling: "apart",
			commandGone: "commandGone", goneSettling: "commandGone; suspend",
		},
		"exited": {
			together: "commandGone", apart: "commandGone", keystroke: "commandGone", settling: "commandGone", commandGone: "commandGone", goneSettling: "commandGone",
		},
		"timedOut": { // the tree is being ended
			together: "together; end, KILL in 5s", apart: "apart; end, KILL in 5s", keystroke: "apart; end, KILL in 5s",
			settling: "apart; end, KILL in 5s", commandGone: "commandGone; end, KILL in 5s", goneSettling: "commandGone; end, KILL in 5s",
		},
	}
	checkTable(t, table, controlEvents, allControlStates(), func(s controlState, e event) string {
		m, effects := jobIn(s).on(e)
		return shown(m.control.state, effects)
	})
}

func allControlStates() (all []controlState) {
	for s := range controlStates {
		all = append(all, s)
	}
	return all
}

// TestControlHasARowForEachEvent: an event that job control handles is in controlEvents.
func TestControlHasARowForEachEvent(t *testing.T) {
	checkListed(t, controlEvents, func(k eventKind) bool { return ofControl[k] != nil })
}

// TestControlStories are what happens at a terminal, one event after the other.
func TestControlStories(t *testing.T) {
	const ms = time.Millisecond
	typed := event{kind: signalled, signal: tty.TSTP, typed: true}
	byCtrlZ := event{kind: stopped, signal: tty.TSTP, foreground: true}
	cont := event{kind: signalled, signal: tty.CONT}
	later := func(e event, d time.Duration) event { e.at = now.Add(d); return e }
	for _, c := range []struct {
		name    string
		no      bool // no terminal
		ending  bool
		events  []event
		want    string // the last state, and what was done at the last event
		forward int    // how many signals were passed on in all
	}{
		{"Ctrl-Z", false, false, []event{typed, byCtrlZ, {kind: settled, stillStopped: true}}, "apart; suspend", 0},
		{"the command is quicker", false, false, []event{byCtrlZ, later(typed, 9*ms), {kind: settled, stillStopped: true}}, "apart; suspend", 0},
		{"Ctrl-Z is undone", false, false, []event{typed, byCtrlZ, cont, {kind: settled, stillStopped: true}}, "apart", 0},
		{"a program gives the terminal back", false, false, []event{byCtrlZ, later(event{kind: keystrokeDue, foreground: true}, 50*ms), {kind: settled, stillStopped: true}}, "apart; suspend", 0},
		{"it reads in the background", false, false, []event{{kind: stopped, signal: tty.TTIN}, {kind: settled, stillStopped: true}}, "apart; suspend", 0},
		{"the command is stopped alone", false, false, []event{{kind: stopped, signal: tty.STOP}}, "apart", 0},
		{"kill -TSTP", false, false, []event{{kind: signalled, signal: tty.TSTP}, {kind: stopped, signal: tty.TSTP}}, "settling; settle in 5ms", 1},
		{"a request that is old", false, false, []event{{kind: signalled, signal: tty.TSTP}, later(event{kind: stopped, signal: tty.STOP}, requestAge+1)}, "apart", 1},
		{"fg resumes both", false, false, []event{byCtrlZ, typed, {kind: settled, stillStopped: true}, cont, {kind: continued}, {kind: contDue}}, "together", 0},
		{"fg resumes us alone", false, false, []event{byCtrlZ, typed, {kind: settled, stillStopped: true}, cont, {kind: contDue}}, "apart; forward CONT", 1},
		{"fg, and Ctrl-Z again", false, false, []event{byCtrlZ, typed, {kind: settled, stillStopped: true}, cont, {kind: continued}, byCtrlZ, {kind: contDue}}, "keystroke", 0},
		{"no terminal", true, false, []event{cont}, "together; renew; forward CONT", 1},
		{"being ended", false, true, []event{typed, byCtrlZ}, "apart", 0},
		{"ended in between", false, false, []event{byCtrlZ, {kind: timedOut}, later(typed, ms)}, "apart", 0},
		{"leftovers", false, false, []event{{kind: exited}, typed, {kind: settled}}, "commandGone; suspend", 0},
		{"leftovers, being ended", false, true, []event{{kind: exited}, typed}, "commandGone", 0},
		{"a CONT that was heard before its TSTP", false, false, []event{cont, later(event{kind: signalled, signal: tty.TSTP}, ms)}, "together", 0},
	} {
		spec := plain
		spec.HoldTree = true
		m := machine{life: lifeIn(running, spec), control: control{terminal: !c.no}}
		if c.ending {
			m.life = lifeIn(ending, spec)
		}
		var effects []effect
		forwarded := 0
		for _, e := range c.events {
			if e.at.IsZero() {
				e.at = now
			}
			m, effects = m.on(e)
			for _, f := range effects {
				if f.do == forward {
					forwarded++
				}
			}
		}
		if got := shown(m.control.state, effects); got != c.want || forwarded != c.forward {
			t.Errorf("%s:\ngot  %s, %d passed on\nwant %s, %d", c.name, got, forwarded, c.want, c.forward)
		}
	}
}

// TestSignals: what is passed on to the command, and what ends its leftovers.
func TestSignals(t *testing.T) {
	for _, c := range []struct {
		from  state
		sig   syscall.Signal
		typed bool
		want  string
	}{
		{running, syscall.SIGTERM, false, "running; forward TERM"},
		{running, syscall.SIGINT, true, "running"},
		{ending, syscall.SIGTERM, false, "ending; forward TERM"},
		{running, tty.WINCH, false, "running; forward WINCH"},
		{running, syscall.SIGPIPE, false, "running"},
		{draining, syscall.SIGINT, true, "clearing; end, KILL in 5s"},
		{draining, tty.USR1, false, "draining"},
		{clearing, syscall.SIGTERM, false, "clearing; KILL in 0s"},
		{done, syscall.SIGTERM, false, "done"},
	} {
		m, effects := machine{life: lifeIn(c.from, plain)}.on(event{kind: signalled, at: now, signal: c.sig, typed: c.typed})
		if got := shown(m.life.state, effects); got != c.want {
			t.Errorf("%v, %v, typed %t:\ngot  %s\nwant %s", c.from, c.sig, c.typed, got, c.want)
		}
	}
	// The Ctrl-C that ended the command, heard of after its exit.
	m := machine{life: lifeIn(clearing, plain)}
	m.life.exitedAt = now.Add(-keystrokeDelay)
	if _, effects := m.on(event{kind: signalled, at: now, signal: syscall.SIGINT, typed: true}); len(effects) > 0 {
		t.Errorf("a Ctrl-C that ended the command ends what it left at once: %v", effects)
	}
}
