package job

import (
	"context"
	"errors"
	"time"

	"berth/lease"
	"berth/limiter"
)

// Keep keeps leases for another process, or for nobody, and returns when they are given back:
// when that process is gone (Inputs.Gone), a lease is lost, a time limit is over, or a signal
// or a message says so. While another process runs something under them, they are kept until
// that is over. A time limit tells that process to stop.
//
// It takes nothing of this process but its signals: it neither follows Ctrl-Z nor knows a
// terminal. When slots cannot be given back (a record of NotReleased says so), they are
// free once this process is gone, or after the TTL.
func Keep(ctx context.Context, s limiter.Sessions, spec Spec, in Inputs, sinks ...Sink) Result {
	spec.Kept = true
	l := newLoop(ctx, s, spec, in, sinks)
	if tied := s[0].Lease().Tied; tied != nil {
		l.pid = tied.PID
	}
	l.untilDone()
	return l.ended()
}

func (l *loop) tryRelease() {
	err := l.sessions.TryClose(context.WithoutCancel(l.ctx))
	switch {
	case err == nil:
		l.report(Record{Kind: Released})
	case errors.As(err, new(*lease.AdoptedError)):
	case !errors.Is(err, lease.ErrLost):
		l.report(Record{Kind: NotReleased, Err: err})
	}
	l.later = append([]event{{kind: triedRelease, err: err}}, l.later...) // what came with its cause may cause it again
}

// tellAdopter does not wait for the store. What was not told is told again with the next try
// to give the slots back.
func (l *loop) tellAdopter(stop lease.Stop) {
	id := l.sessions[0].Lease().ID
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(l.ctx), tellWithin)
		defer cancel()
		_ = l.in.Tell(ctx, id, stop)
	}()
}

const tellWithin = 30 * time.Second

// limitOf is the time limit of the lease that a stop names; 0: it names none.
func (l *loop) limitOf(ev limiter.Event) time.Duration {
	s := l.sessions.Of(ev.Lease)
	if s == nil {
		return 0
	}
	switch r := s.Lease().Request; ev.Stop.TimeLimit {
	case IdleTimeoutFlag:
		return r.IdleTimeout
	case TimeoutFlag:
		return r.Timeout
	}
	return 0
}

// The flags of the time limits, as errors and messages name them.
const TimeoutFlag, IdleTimeoutFlag = "--timeout", "--idle-timeout"
