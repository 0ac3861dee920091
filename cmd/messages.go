package cmd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"berth/cmd/job"
	"berth/cmd/open"
	"berth/cmd/text"
	"berth/cmd/tty"
	"berth/cmd/view"
	"berth/cmd/words"
	"berth/lease"
)

// messages turns the records of a job into what berth says. The speaker has a queue, so the
// job waits for no reader.
type messages struct {
	say    *speaker
	spec   *words.Run
	store  *open.Store
	leases []lease.Lease // none: the job has no slot of its own
}

// taken is said before the command can say anything itself.
func (m *messages) taken() {
	for _, l := range m.leases {
		m.say.verbosef("took slot %s of pool %s, limit %d, token %d", text.SlotList(l.Slots), l.Pool, l.InForce, l.Token)
	}
}

// sink is a job.Sink.
func (m *messages) sink(r job.Record) {
	switch r.Kind {
	case job.Started: // not before: a held slot does not wait for a note
		m.limit()
	case job.NotRecorded:
		m.say.notef("cannot record the child of %s: %v", r.Lease, r.Err)
	case job.HeartbeatFailed:
		m.say.verbosef("no heartbeat: %v", r.Err)
	case job.Lost:
		m.say.errorf("%v; this job runs on and is not counted any more", r.Err)
	case job.Regained:
		m.say.notef("pool %s: the lease is renewed, and the job is counted again", r.Pool)
	case job.NotForwarded:
		m.say.notef("cannot pass %s on to pid %d: %v", tty.SignalName(r.Signal), r.PID, r.Err)
	case job.NotExtended:
		m.say.notef("pool %s: the lease could not be renewed before this was suspended: %v", r.Pool, r.Err)
	case job.EndFailed:
		m.say.errorf("%v", r.Err)
	case job.Leftovers:
		m.leftovers(r.Left)
	case job.Released:
		m.say.verbosef("released slot %s of pool %s", text.SlotList(r.Slots), r.Pool)
	case job.NotReleased:
		m.say.notef("%v", r.Err)
	case job.Ended:
		var stopped *lease.StoppedError
		if errors.As(r.Err, &stopped) {
			m.say.errorf("job %s was %v", r.Lease, stopped)
		}
	}
}

// leftoversNamed is how many processes are named; a command may leave a thousand.
const leftoversNamed = 3

func (m *messages) leftovers(left []string) {
	m.say.notef("the command has ended; waiting for what it left, which --leftovers kill ends: %s; KILL follows %s after %s",
		text.Some(left, leftoversNamed), text.Duration(m.spec.KillAfter), tty.SignalName(m.spec.Signal))
}

// limit says once when the caller's -n is not the limit in force. Whose limit that is has to
// be read from the store, beside the job.
func (m *messages) limit() {
	n := m.spec.First().Limit
	if len(m.leases) == 0 || n == 0 || m.leases[0].InForce >= n || m.say.quiet {
		return
	}
	l := &m.leases[0]
	m.say.out.later(func() {
		ctx, cancel := context.WithTimeout(context.Background(), lastWords/2)
		defer cancel()
		p, err := m.store.Summary(ctx, l.Pool, lease.Ticket{})
		m.say.notef("pool %s: limit is %d, not %d: %s", l.Pool, l.InForce, n, whose(l, &p, err))
	})
}

// whose says where the limit comes from that was in force for l.
func whose(l *lease.Lease, p *lease.Pool, err error) string {
	const unknown = "requested by a job that was running"
	if err != nil {
		return unknown
	}
	if p.Own.Limit != nil && *p.Own.Limit <= l.InForce {
		says := fmt.Sprintf("set by 'berth limit %s'", p.Name)
		if by := view.SetBy(p.Own); by != "" && p.Own.Reason != "" {
			says += ", " + strings.TrimPrefix(by, "set ")
		}
		return says
	}
	for _, h := range p.Holders {
		if h.Lease.RequestedLimit == l.InForce && h.Lease.ID != l.ID {
			return fmt.Sprintf("requested by a running job: %s", view.Describe(h.Lease))
		}
	}
	return unknown
}
