//go:build unix

package job

import (
	"syscall"
	"testing"
	"time"

	"berth/lease"
	"berth/limiter"
)

// TestLifeOfAKeptLease is the whole table of a lease that is kept for another process, or for
// nobody.
func TestLifeOfAKeptLease(t *testing.T) {
	back := map[state]string{
		starting: "starting", running: "handingBack; release", handingBack: "handingBack; release", done: "done",
	}
	stays := map[state]string{starting: "starting", running: "running", handingBack: "handingBack", done: "done"}
	adopted := &lease.AdoptedError{ID: "p/1"}
	events := []struct {
		namedEvent
		want map[state]string
	}{
		{namedEvent{"started", event{kind: started}}, map[state]string{
			starting: "running; report started; bind; timeout in 1h0m0s; idle in 1m0s", running: "running", handingBack: "handingBack", done: "done",
		}},
		{namedEvent{"the process is gone", event{kind: exited}}, back},
		{namedEvent{"TERM", event{kind: signalled, signal: syscall.SIGTERM}}, back},
		{namedEvent{"INT", event{kind: signalled, signal: syscall.SIGINT}}, back},
		{namedEvent{"HUP", event{kind: signalled, signal: syscall.SIGHUP}}, back},
		{namedEvent{"TSTP", event{kind: signalled, signal: syscall.SIGTSTP}}, stays},
		{namedEvent{"CONT", event{kind: signalled, signal: syscall.SIGCONT}}, map[state]string{
			starting: "starting; renew", running: "running; renew", handingBack: "handingBack; renew", done: "done; renew",
		}},
		{namedEvent{"timedOut", event{kind: timedOut}}, back},
		{namedEvent{"idleOver", event{kind: idleOver}}, map[state]string{
			starting: "starting", running: "running; renew", handingBack: "handingBack; renew", done: "done",
		}},
		{namedEvent{"renewed, busy", event{kind: renewed, clock: 150}}, map[state]string{
			starting: "starting", running: "running; idle in 59.99999995s", handingBack: "handingBack; release", done: "done",
		}},
		{namedEvent{"renewed, idle", event{kind: renewed, clock: 100 + 60_000_000_000}}, back},
		{namedEvent{"renewed, to be released", event{kind: renewed, clock: 150, release: true}}, back},
		{namedEvent{"regained", event{kind: regained, clock: 150}}, map[state]string{
			starting: "starting", running: "running; idle in 59.99999995s", handingBack: "handingBack; release", done: "done",
		}},
		{namedEvent{"not renewed", event{kind: renewed, clock: 150, err: syscall.EIO}}, map[state]string{
			starting: "starting", running: "running; report heartbeat failed; idle in 59.99999995s", handingBack: "handingBack; report heartbeat failed; release", done: "done",
		}},
		{namedEvent{"not renewed in time", event{kind: lost, clock: 150, err: &limiter.ExpiringError{}, grace: time.Second}}, map[state]string{
			starting: "starting", running: "running; idle in 59.99999995s", handingBack: "handingBack; release", done: "done",
		}},
		{namedEvent{"lost", event{kind: lost, err: lease.ErrLost}}, back},
		{namedEvent{"lost after that", event{kind: renewed, err: lease.ErrLost}}, map[state]string{
			starting: "starting", running: "handingBack; report heartbeat failed; release", handingBack: "handingBack; report heartbeat failed; release", done: "done",
		}},
		{namedEvent{"stopRequested", event{kind: stopRequested, stop: &lease.Stop{}}}, back},
		{namedEvent{"given back", event{kind: triedRelease}}, map[state]string{
			starting: "starting", running: "running", handingBack: "done", done: "done",
		}},
		{namedEvent{"something runs", event{kind: triedRelease, err: adopted}}, stays},
		{namedEvent{"not given back", event{kind: triedRelease, err: syscall.EIO}}, map[state]string{
			starting: "starting", running: "running", handingBack: "done", done: "done",
		}},
		{namedEvent{"treeGone", event{kind: treeGone}}, stays},
		{namedEvent{"leftoversNamed", event{kind: leftoversNamed}}, stays},
	}
	var columns []namedEvent
	table := map[string]map[state]string{}
	for _, e := range events {
		columns = append(columns, e.namedEvent)
		table[e.name] = e.want
	}
	checkListed(t, columns, func(k eventKind) bool { return ofKept[k] != nil })
	kept := Spec{Kept: true, Signal: syscall.SIGTERM, KillAfter: 5 * time.Second, Timeout: time.Hour, IdleTimeout: time.Minute}
	checkTable(t, table, columns, []state{starting, running, handingBack, done}, func(s state, e event) string {
		m, effects := machine{life: lifeIn(s, kept)}.on(e)
		return shown(m.life.state, effects)
	})
}

// TestTimeLimitOfAKeptLease: whatever runs under the lease is told which limit it was, each
// time when it still runs; and it gives that to its caller.
func TestTimeLimitOfAKeptLease(t *testing.T) {
	m := machine{life: lifeIn(running, Spec{Kept: true, Timeout: time.Hour})}
	m, _ = m.on(event{kind: timedOut, at: now})
	for range 2 {
		var effects []effect
		m, effects = m.on(event{kind: triedRelease, at: now, err: &lease.AdoptedError{}})
		if got := shown(m.life.state, effects); got != "handingBack; tell adopter" || effects[0].stop.TimeLimit != TimeoutFlag {
			t.Errorf("%s", got)
		}
	}
	if m, _ = m.on(event{kind: triedRelease, at: now}); m.life.state != done {
		t.Errorf("after the end of what ran: %v", m.life.state)
	}
	m = machine{life: lifeIn(running, plain)}
	m, _ = m.on(event{kind: stopRequested, at: now, stop: &lease.Stop{TimeLimit: TimeoutFlag}, after: time.Hour})
	if want := "the job ran into --timeout 1h0m0s and was ended (TERM, and KILL after 5s)"; m.life.result.Why == nil || m.life.result.Why.Error() != want {
		t.Errorf("%v, want %s", m.life.result.Why, want)
	}
}
