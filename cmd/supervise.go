package cmd

import (
	"context"
	"errors"

	"berth/cmd/job"
	"berth/cmd/text"
	"berth/lease"
	"berth/limiter"
)

// supervise runs the command in slots that are had, or without any, and its hooks.
func (r *runner) supervise(ctx context.Context, s limiter.Sessions, in job.Inputs, m *messages) (int, error) {
	env, sinks := r.environ(r.leases(s)), []job.Sink{m.sink}
	h := newHooked(r.spec, r.say, r.since, env)
	if h != nil {
		sinks = append(sinks, h.sink)
	}
	if r.stop != nil && ctx.Err() != nil { // its caller went when it had the slots
		err := context.Cause(ctx)
		if len(s) > 0 {
			err = errors.Join(err, s.Unused(context.WithoutCancel(ctx)))
		}
		r.unused(m.leases, err)
		return 0, err
	}
	result, err := job.Run(context.WithoutCancel(ctx), s, r.jobSpec(env, m.leases), in, sinks...)
	if err != nil {
		r.unused(m.leases, err)
		return 0, err
	}
	r.why = result.Why
	if r.spec.Lease != "" {
		handedBack(m.leases) // before the hooks, which may take their time
	}
	code, err := codeOfJob(result)
	h.stop(reasonOf(result), code, err)
	h.await(r.signals, r.store.Suspend)
	return code, err
}

// unused is about slots that were given back, and nothing was started in them.
func (r *runner) unused(leases []lease.Lease, why error) {
	for _, l := range leases {
		r.say.verbosef("gave slot %s of pool %s back unused: %v", text.SlotList(l.Slots), l.Pool, why)
	}
	h := newHooked(r.spec, r.say, r.since, r.environ(leases))
	h.stop(unusedReason, 0, why)
	h.await(r.signals, r.store.Suspend)
}
