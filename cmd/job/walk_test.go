//go:build unix

package job

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"berth/cmd/tty"
	"berth/lease"
	"berth/lease/clock"
)

// TestRandomWalks: whatever comes in whatever order, the tree is ended once, KILL is never
// put off, this process is not suspended while it has to kill, nothing is passed on to a
// command that is gone, and the end of the tree is the end of the job.
func TestRandomWalks(t *testing.T) {
	signals := []syscall.Signal{tty.TSTP, tty.CONT, syscall.SIGTERM, syscall.SIGINT, tty.WINCH, tty.USR1}
	for seed := range uint64(5000) {
		r := rand.New(rand.NewPCG(seed, 0))
		coin := func() bool { return r.IntN(2) == 0 }
		spec := Spec{Signal: syscall.SIGTERM, KillAfter: 10 * time.Second, HoldTree: coin(), RunOnWhenLost: coin(), IdleTimeout: 1000}
		spec.EndLeftovers = !spec.HoldTree && coin()
		m := machine{life: life{Spec: &spec}, control: control{terminal: coin()}}
		m, _ = m.on(event{kind: started, at: now})
		ends := 0
		for at := now; m.life.state != done && at.Before(now.Add(time.Minute)); at = at.Add(time.Second) {
			e := event{
				kind: started + eventKind(r.IntN(int(eventKinds-started))), at: at, signal: signals[r.IntN(len(signals))], typed: coin(), foreground: coin(), stillStopped: coin(),
				clock: clock.Instant(r.IntN(2000)), stop: &lease.Stop{}, grace: time.Duration(r.IntN(20)) * time.Second,
			}
			before := m
			var effects []effect
			m, effects = m.on(e)
			for _, f := range effects {
				switch {
				case f.do == endTree:
					ends++
				case f.do == killTree && before.life.ends() && at.Add(f.after).After(before.life.killAt):
					t.Fatalf("seed %d: %s in %v puts KILL off", seed, e.kind, before.life.state)
				case f.do == suspendSelf && m.life.ends():
					t.Fatalf("seed %d: %s in %v suspends this process", seed, e.kind, before.life.state)
				case f.do == forward && before.life.phase() == tty.Leftover:
					t.Fatalf("seed %d: %s in %v is passed on", seed, e.kind, before.life.state)
				}
			}
		}
		if ends > 1 {
			t.Fatalf("seed %d: the tree was ended %d times", seed, ends)
		}
		for _, k := range []eventKind{treeGone, exited, treeGone} {
			m, _ = m.on(event{kind: k, at: now})
		}
		if m.life.state != done {
			t.Fatalf("seed %d: the job is %v, and nothing is left of it", seed, m.life.state)
		}
	}
}
