// Package etcdstore keeps pools in etcd, for machines that share no directory.
//
// The record of each holder and waiter is attached to an etcd lease, so etcd itself
// deletes records that are not renewed, by its own clock. A decision is one read followed
// by one transaction. The transaction changes something only if everything that the
// decision rests on is still as it was read. So clients need no lock, and a client that
// dies between the two has changed nothing. Fencing tokens are revisions of etcd: they
// rise for as long as the cluster keeps its data, across all pools.
//
// etcd does not tell its time, so moments that machines compare are read from their own
// clocks. These clocks have to be close for three things: paces, the age that is shown of
// reports and keepalives, and the week after which an idle pool is forgotten. If a clock
// is ten minutes behind, a start that it records lets the next start come ten minutes too
// soon; a start from the future counts as unknown and holds up nothing. No limit, no
// order and no expiry depends on these clocks. A keepalive counts on the boot clock of
// the machine that holds the lease, whatever the sender's clock says. So setting a clock
// neither ends a busy job nor spares an idle one; the error is at most one heartbeat.
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
	dir        string // prefix of all keys of pools
	trouble    func(error)
	client     *clientv3.Client
	endpoints  []string    // their URLs
	user       *user       // nil: none
	tls        *tls.Config // nil: none
	members    *members
	kv         clientv3.KV
	leases     pb.LeaseClient
	latestTerm atomic.Uint64 // the latest raft term in which a leader renewed a lease of ours

	// answered is set once the cluster has answered. Until then a wrong address is more
	// likely than an outage that passes.
	answered atomic.Bool
	spare    spareLease
	timings  Timings
	// swept is what the last release read of the last sweep.
	swept atomic.Pointer[record[sweepRecord]]
	// opened is what Clock began with: the time of day less the boot clock. setBy is how
	// far a test has set the time of day.
	opened, setBy time.Duration
	// unrecorded are those with a child that etcd may not know of yet.
	unrecorded client.Unrecorded[recorder]
	revocations
	// notice is told once of each record that cannot be read; nil: it is not told.
	notice  func(error)
	noticed sync.Map // their keys
}

// Timings are the store's own; the zero value of each has a default. How long one attempt
// may take is no choice: it follows from how etcd's members agree.
type Timings struct {
	Release time.Duration // how long a release or a Leave goes on through an outage: client.ReleaseFor
	Aside   time.Duration // how long StepAside does: client.AsideFor
	Recheck time.Duration // how long a waiter trusts its watches: 15s
	Resend  time.Duration // how often a watch of pools sends without a change: 1m
	Forget  time.Duration // a pool without settings is deleted after so long without use: 7 days
	Sweep   time.Duration // how often a release looks for idle pools: 1 day
}

func (t Timings) orDefault() Timings {
	return Timings{
		Release: cmp.Or(t.Release, client.ReleaseFor), Aside: cmp.Or(t.Aside, client.AsideFor),
		Recheck: cmp.Or(t.Recheck, 15*time.Second), Resend: cmp.Or(t.Resend, time.Minute), Forget: cmp.Or(t.Forget, 7*24*time.Hour), Sweep: cmp.Or(t.Sweep, 24*time.Hour),
	}
}

var _ lease.Store = (*Store)(nil)

const (
	// attemptTimeout bounds one attempt. A single hung member is bypassed much sooner.
	// When all members are silent, the caller has to hear why.
	attemptTimeout = 2 * time.Second
	// retryFor bounds the retries of a step for which no waiter stands in a line.
	retryFor = 8 * time.Second
)

// Close ends all that is under way. Held slots stay held until their TTL ends. etcd
// leases that no record is attached to are revoked first, within half a second.
func (s *Store) Close() error {
	s.finishRevoking()
	err := s.client.Close()
	s.members.close()
	return err
}

// Clock implements lease.Store. It starts at the time of day and advances with the boot
// clock. Starts and idle pools count by the time of day itself, because machines agree on
// nothing else.
func (s *Store) Clock() clock.Instant { return clock.Now().Add(s.opened) }

func (s *Store) wallClock() clock.Instant { return timeOfDay().Add(s.setBy) }

func timeOfDay() clock.Instant { return clock.Instant(time.Now().UnixNano()) }

// attempt calls f once, within attemptTimeout, and classifies its error.
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

// timeoutError says that the caller's time ended before an attempt succeeded.
type timeoutError struct{ err error }

func (e timeoutError) Error() string   { return e.err.Error() }
func (e timeoutError) Unwrap() []error { return []error{e.err, context.DeadlineExceeded} }

// errNoAnswer says that the cluster was silent for a whole attempt.
var errNoAnswer = fmt.Errorf("no answer within %v", attemptTimeout)

// classify makes an UnreachableError of what may pass by itself. A cluster that is full
// is one case: it answers, but accepts nothing until there is room again.
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
		if i := strings.Index(msg, "dial "); i >= 0 { // gRPC wraps the useful part three times
			msg = strings.TrimSuffix(msg[i:], `"`)
		}
		err = errors.New(msg)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded) || code == codes.DeadlineExceeded:
		return s.unreachable(errNoAnswer)
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		// The etcd lease expired before it was used; the caller requests another.
		return &lease.UnreachableError{Store: s.name, Answers: true, Err: err}
	case code == codes.ResourceExhausted && answer == (rpctypes.EtcdError{}):
		// Our request is too large, and stays so.
	case code == codes.Unavailable, code == codes.ResourceExhausted, code == codes.Internal,
		// A member answers this when it could not finish in its own time.
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

// retry repeats f for a few seconds, in which an outage such as an election may pass. Of
// a cluster that has never answered, each member is tried once.
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

// why picks the error to report: the failure says more than the end of the time.
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

// leaseExpired reports whether a step failed because its etcd lease had expired.
func leaseExpired(err error) bool { return errors.Is(err, rpctypes.ErrLeaseNotFound) }

// undoWithin bounds the undoing of a failed step. The caller waits for it, because the
// program may end right afterwards.
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

// txn is a transaction: its reads see one revision, its writes are applied together.
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
