//go:build unix

package job

import (
	"errors"
	"testing"

	"berth/lease/clock"
)

// TestIdleOfSeveral: a keepalive for any lease of a job counts, so the job is not ended before
// all of them were renewed after its idle time.
func TestIdleOfSeveral(t *testing.T) {
	spec := plain
	spec.IdleTimeout = 50
	renewal := func(lease string, keepalive clock.Instant, err error) event {
		return event{kind: renewed, lease: lease, clock: 200, keepalive: keepalive, err: err}
	}
	over := event{kind: idleOver}
	for _, c := range []struct {
		name   string
		events []event
		ends   bool
	}{
		{"all were renewed", []event{over, renewal("a", 0, nil), renewal("b", 0, nil)}, true},
		{"one was renewed twice", []event{over, renewal("a", 0, nil), renewal("a", 0, nil)}, false},
		{"one of them before", []event{renewal("a", 0, nil), over, renewal("b", 0, nil)}, false},
		{"one does not answer", []event{over, renewal("a", 0, errors.New("no")), renewal("b", 0, nil)}, false},
		{"keepalive for the first", []event{over, renewal("a", 190, nil), renewal("b", 0, nil)}, false},
		{"keepalive for the second", []event{over, renewal("a", 0, nil), renewal("b", 190, nil)}, false},
	} {
		m := machine{life: lifeIn(running, spec)}
		m.life.leases = 2
		for _, e := range c.events {
			m, _ = m.on(e)
		}
		if got := m.life.state == ending; got != c.ends {
			t.Errorf("%s: the job ends: %t", c.name, got)
		}
	}
}
