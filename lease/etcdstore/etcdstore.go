// Package etcdstore keeps pools in etcd, for machines that share no directory.
//
// Every record of a holder or a waiter hangs on an etcd lease, so etcd itself drops
// what nobody renews, by its own clock. Every decision is one read and then one
// transaction that changes something only if what the decision rests on still is
// as it was read; so clients need no lock, and one that dies between the two has
// done nothing. Fencing tokens are revisions of etcd: they rise for as long as the
// cluster keeps its data, over all pools.
//
// etcd tells nobody its time, so instants that machines compare are those of their own
// clocks. These have to be close for three things: paces (a start that is written by a
// clock ten minutes behind lets the next one come ten minutes too soon; one that is
// ahead of ours counts as not known, and holds up nobody), what is shown of the age of
// reports and keepalives, and the week after which a pool is forgotten. No limit, no
// order and no end of a lease depends on them. A keepalive counts on the boot clock of
// whoever holds the lease, whatever the clock of who sent it says, so setting a clock
// neither ends a busy job nor spares an idle one: it is right to one heartbeat.
package etcdstore

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"berth/lease"
	"berth/lease/clock"
	"berth/lease/remote/client"
	"berth/lease/retry"
)

// Store is the pools below one prefix of an etcd cluster.
type Store struct {
	name       string // for people
	dir        string // before the names of pools
	trouble    func(error)
	client     *clientv3.Client
	endpoints  []string    // their URLs
	user       *user       // nil: none
	tls        *tls.Config // nil: none
	members    *members
	kv         clientv3.KV
	leases     pb.LeaseClient
	latestTerm atomic.Uint64 // the latest that a leader kept a life in

	// answered: the cluster has answered once. Until then it is more likely that the
	// address is wrong than that the cluster has an outage that will pass.
	answered atomic.Bool
	spare    spareLease
	timings  Timings
	// swept is what the last release read of the last sweep.
	swept atomic.Pointer[record[sweepRecord]]
	// opened is what Clock began with: the time of day less the boot clock. setBy is how
	// far a test has set the time of day.
	opened, setBy time.Duration
	// unrecorded are holdings with a child that etcd may not know of yet.
	unrecorded client.Unsaved[*holding]
	revocations
	// notice is told of a record that cannot be read, once of each; nil: nobody is.
	notice  func(error)
	noticed sync.Map // their keys
}

// Timings are the store's own; the zero value of each has a default. How long one attempt
// may take is no choice: it follows from how etcd's members agree.
type Timings struct {
	Release time.Duration // how long a release or a Leave goes on through an outage: client.ReleaseFor
	Aside   time.Duration // how long StepAside does: client.AsideFor
	Recheck time.Duration // how long a waiter trusts its watches: 15s
	Forget  time.Duration // a pool without settings goes when nobody has used it for so long: 7 days
	Sweep   time.Duration // a release looks for such pools so often: 1 day
}

func (t Timings) orDefault() Timings {
	return Timings{
		Release: cmp.Or(t.Release, client.ReleaseFor), Aside: cmp.Or(t.Aside, client.AsideFor),
		Recheck: cmp.Or(t.Recheck, 15*time.Second), Forget: cmp.Or(t.Forget, 7*24*time.Hour), Sweep: cmp.Or(t.Sweep, 24*time.Hour),
	}
}

var _ lease.Store = (*Store)(nil)

const (
	// attemptTimeout is how long one attempt may take. That one member hangs is dealt with in
	// much less; when all are silent the reason is to be told, and the question may be
	// another one by now.
	attemptTimeout = 2 * time.Second
	// retryFor is how long a step is repeated for which nobody waits in a line.
	retryFor = 8 * time.Second
)

// Close ends all that is under way. What is held stays so until its TTL is over. Etcd
// leases that nothing hangs on any more are revoked first, for half a second at most.
func (s *Store) Close() error {
	s.finishRevoking()
	err := s.client.Close()
	s.members.close()
	return err
}

// Clock implements lease.Store. It begins with the time of day and goes on with the boot
// clock. Starts and what is forgotten count by the time of day itself: machines agree on
// nothing else, and one whose clock is set has mostly been wrong before.
func (s *Store) Clock() clock.Instant { return clock.Now().Add(s.opened) }

func (s *Store) wallClock() clock.Instant { return timeOfDay().Add(s.setBy) }

func timeOfDay() clock.Instant { return clock.Instant(time.Now().UnixNano()) }

// attempt calls f once, in bounded time, and sorts its error.
func (s *Store) attempt(ctx context.Context, f func(context.Context) error) error {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, context.DeadlineExceeded):
		return &lease.UnreachableError{Store: s.name, Err: timeoutError{errors.New("no answer in the time allowed")}}
	case cause != nil:
		return cause
	}
	short, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	err := f(short)
	switch {
	case err == nil:
		s.answered.Store(true)
		return nil
	case ctx.Err() != nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return context.Cause(ctx)
	}
	err = s.classify(s.logInAgain(ctx, err))
	if out := (*lease.UnreachableError)(nil); ctx.Err() != nil && errors.As(err, &out) {
		out.Err = timeoutError{out.Err}
	}
	return err
}

// timeoutError says that the caller's time was over before anything came of it.
type timeoutError struct{ err error }

func (e timeoutError) Error() string   { return e.err.Error() }
func (e timeoutError) Unwrap() []error { return []error{e.err, context.DeadlineExceeded} }

// errNoAnswer is what is said of a cluster that does not answer in our own time.
var errNoAnswer = fmt.Errorf("no answer within %v", attemptTimeout)

// classify makes an UnreachableError of what may pass by itself. A cluster that is
// full is among it: it answers, but takes nothing until somebody makes room.
func (s *Store) classify(err error) error {
	if errors.Is(err, lease.ErrLost) || errors.As(err, new(*lease.UnreachableError)) || errors.As(err, new(*lease.RefusedError)) {
		return err
	}
	err = rpctypes.Error(err)
	code := status.Code(err)
	var answer rpctypes.EtcdError
	if errors.As(err, &answer) {
		code = answer.Code()
		s.answered.Store(true)
	}
	if said, ok := status.FromError(err); ok && !errors.As(err, &answer) {
		msg := said.Message()
		if i := strings.Index(msg, "dial "); i >= 0 { // gRPC wraps what matters three times
			msg = strings.TrimSuffix(msg[i:], `"`)
		}
		err = errors.New(msg)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded) || code == codes.DeadlineExceeded:
		return s.unreachable(errNoAnswer)
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		// A life that was over before it was used; whoever meets it takes another.
		return &lease.UnreachableError{Store: s.name, Answers: true, Err: err}
	case code == codes.ResourceExhausted && answer == (rpctypes.EtcdError{}):
		// Ours is too large, and will be.
	case code == codes.Unavailable, code == codes.ResourceExhausted, code == codes.Internal,
		// What a member says when it was not done in its own time.
		code == codes.Unknown && strings.Contains(err.Error(), context.DeadlineExceeded.Error()):
		if code == codes.ResourceExhausted {
			return &lease.UnreachableError{Store: s.name, Answers: true, Err: errors.New(err.Error())}
		}
		return s.unreachable(errors.New(err.Error()))
	}
	if no := s.refusal(err); no != nil {
		return no
	}
	return fmt.Errorf("store %s: %w", s.name, err)
}

func (s *Store) unreachable(err error) error {
	if s.answered.Load() {
		return &lease.UnreachableError{Store: s.name, Err: err}
	}
	return s.whyNeverAnswered(err)
}

// retry repeats f for a few seconds where an outage may pass in that time, as
// the choice of a new leader does. A cluster that has never answered is asked once
// for each of its members.
func (s *Store) retry(ctx context.Context, f func(context.Context) error) error {
	short, cancel := context.WithTimeout(ctx, retryFor)
	defer cancel()
	var last error
	tries := 0
	err := retry.Do(short, nil, func(ctx context.Context) error {
		last = f(ctx)
		tries++
		if out := (*lease.UnreachableError)(nil); errors.As(last, &out) && !s.answered.Load() && tries >= len(s.endpoints) {
			return errNeverAnswered
		}
		return last
	})
	return why(ctx, err, last)
}

// why is the error to tell: what went wrong says more than that time is over.
func why(ctx context.Context, err, last error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(context.Cause(ctx), context.DeadlineExceeded) && errors.As(last, new(*lease.UnreachableError)):
		return last
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return last
}

var errNeverAnswered = errors.New("it has never answered")

// leaseExpired reports whether a step failed because its life had ended.
func leaseExpired(err error) bool { return errors.Is(err, rpctypes.ErrLeaseNotFound) }

// undoWithin is how long a step that failed may be undone. It is waited for: the program
// may end right after it.
const undoWithin = time.Second

func undoBriefly(undo func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		undo()
	}()
	select {
	case <-done:
	case <-time.After(undoWithin):
	}
}

// txn is a transaction: read as one, applied as one.
type txn struct {
	when        []clientv3.Cmp
	then, other []clientv3.Op
}

func (s *Store) commit(ctx context.Context, t txn) (*clientv3.TxnResponse, error) {
	var resp *clientv3.TxnResponse
	err := s.attempt(ctx, func(ctx context.Context) (err error) {
		resp, err = s.kv.Txn(ctx).If(t.when...).Then(t.then...).Else(t.other...).Commit()
		return err
	})
	return resp, err
}
