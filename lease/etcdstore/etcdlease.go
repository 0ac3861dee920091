package etcdstore

import (
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"berth/lease"
	"berth/lease/clock"
)

// etcdLease is a lease of etcd. Records that are attached to it are deleted when it ends.
type etcdLease struct {
	id     clientv3.LeaseID
	wanted time.Duration // the TTL that we requested
	ttl    time.Duration // the TTL that etcd granted
	// renewed is when the last renewal that was answered was sent.
	renewed clock.Instant
}

// wholeSeconds rounds up to seconds, in which etcd counts.
func wholeSeconds(ttl time.Duration) int64 { return int64((ttl + time.Second - 1) / time.Second) }

func (l etcdLease) expires() clock.Instant { return l.renewed.Add(l.ttl) }

// due reports whether the next renewal is due.
func (l etcdLease) due() bool { return clock.Now().Sub(l.renewed) >= l.ttl/4 }

// idleFor is how long no renewal is needed: a little longer than until due.
func (l etcdLease) idleFor() time.Duration { return l.renewed.Add(l.ttl / 3).Sub(clock.Now()) }

// grantLease requests an etcd lease under an id that we choose. So when the same call
// reaches several members, or one of them late, there is still one etcd lease.
func (s *Store) grantLease(ctx context.Context, ttl time.Duration) (etcdLease, error) {
	if ttl <= 0 {
		ttl = lease.DefaultTTL
	}
	l := etcdLease{wanted: ttl, id: clientv3.LeaseID(rand.Int64N(math.MaxInt64) + 1)}
	err := s.attempt(ctx, func(ctx context.Context) error {
		l.renewed = clock.Now()
		resp, err := s.leases.LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: int64(l.id), TTL: wholeSeconds(ttl)})
		if err == nil {
			l.ttl = time.Duration(resp.TTL) * time.Second
		}
		return err
	})
	if errors.Is(err, rpctypes.ErrLeaseExist) { // another member was faster
		err = s.renewLease(ctx, &l)
	}
	return l, err
}

// renewLease renews an etcd lease. lease.ErrLost when it has expired.
//
// The client's own KeepAliveOnce retries without a pause while no member can be reached.
func (s *Store) renewLease(ctx context.Context, l *etcdLease) error {
	return s.attempt(ctx, func(ctx context.Context) error {
		kept, err := hedged(ctx, s.members, func(ctx context.Context, m *member) (etcdLease, error) { return s.renewAt(ctx, m, l.id) })
		if err == nil {
			l.ttl, l.renewed = kept.ttl, kept.renewed
		}
		return err
	})
}

// renewFound renews the etcd lease that a key was found on. If it has expired since, the
// next read will not find the key.
func (s *Store) renewFound(ctx context.Context, l *etcdLease) error {
	return s.foundLost(s.renewLease(ctx, l))
}

// foundLost corrects the error of a renewal, if a key was found on that etcd lease. The key
// would have been deleted with it. So a member that calls it lost became leader a moment
// ago and has not applied our earlier renewals yet.
func (s *Store) foundLost(err error) error {
	if errors.Is(err, lease.ErrLost) {
		return &lease.UnreachableError{Store: s.name, Answers: true, Err: err}
	}
	return err
}

// errNotLeader is the error for a member that was frozen while it was the leader and does
// not know its successor yet. Its successor keeps the leases now.
var errNotLeader = status.Error(codes.Unavailable, "it leads no more")

func (s *Store) renewAt(ctx context.Context, m *member, id clientv3.LeaseID) (l etcdLease, err error) {
	l.renewed = clock.Now()
	stream, err := pb.NewLeaseClient(m.conn).LeaseKeepAlive(ctx)
	if err != nil {
		return l, err
	}
	if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: int64(id)}); err != nil && err != io.EOF {
		return l, err
	}
	resp, err := stream.Recv() // also why it could not be sent
	switch {
	case err != nil:
		return l, err
	case s.isOldTerm(resp.Header.GetRaftTerm()):
		return l, errNotLeader
	case resp.TTL <= 0:
		return l, lease.ErrLost
	}
	l.ttl = time.Duration(resp.TTL) * time.Second
	return l, nil
}

// isOldTerm reports whether a leader of a later term has renewed a lease of ours.
func (s *Store) isOldTerm(term uint64) bool {
	for {
		latest := s.latestTerm.Load()
		if term < latest {
			return true
		}
		if s.latestTerm.CompareAndSwap(latest, term) {
			return false
		}
	}
}

// revoke ends an etcd lease and deletes the records attached to it. If it fails, the etcd
// lease ends with its TTL.
func (s *Store) revoke(id clientv3.LeaseID) { _ = s.revokeLease(s.client.Ctx(), id) }

// revokeLease is revoke with its error. That the lease had expired is none.
func (s *Store) revokeLease(ctx context.Context, id clientv3.LeaseID) error {
	err := s.attempt(ctx, func(ctx context.Context) error {
		_, err := s.client.Revoke(ctx, id)
		return err
	})
	if leaseExpired(err) {
		return nil
	}
	return err
}

// pendingLease is an etcd lease that is requested while other work goes on.
type pendingLease struct {
	done    chan struct{}
	granted etcdLease // once done
	err     error
}

// spareLease is an etcd lease that no record is attached to yet. A refused request leaves
// it for its place in the line. If it is not taken, it ends with its TTL.
type spareLease struct {
	sync.Mutex
	pending *pendingLease
}

// requestOrReuse requests an etcd lease, or takes the spare one.
func (s *Store) requestOrReuse(ctx context.Context, ttl time.Duration) *pendingLease {
	s.spare.Lock()
	defer s.spare.Unlock()
	if l := s.spare.pending; l != nil {
		s.spare.pending = nil
		if l.usable(ttl) {
			return l
		}
		s.discardPending(l)
	}
	return s.requestLease(ctx, ttl)
}

func (s *Store) requestLease(ctx context.Context, ttl time.Duration) *pendingLease {
	l := &pendingLease{done: make(chan struct{})}
	ctx = context.WithoutCancel(ctx) // another request may take it over
	go func() {
		defer close(l.done)
		l.granted, l.err = s.grantLease(ctx, ttl)
	}()
	return l
}

func (l *pendingLease) usable(ttl time.Duration) bool {
	select {
	case <-l.done:
		return l.err == nil && l.granted.wanted == ttl && !l.granted.due()
	default:
		return false
	}
}

func (l *pendingLease) wait(ctx context.Context) (etcdLease, error) {
	select {
	case <-l.done:
		return l.granted, l.err
	case <-ctx.Done():
		return etcdLease{}, context.Cause(ctx)
	}
}

// undo revokes an etcd lease that a record may be attached to.
func (l *pendingLease) undo(s *Store) {
	<-l.done
	if l.err == nil {
		s.revoke(l.granted.id)
	}
}

func (s *Store) keepSpare(l *pendingLease) {
	s.spare.Lock()
	defer s.spare.Unlock()
	s.discardPending(s.spare.pending)
	s.spare.pending = l
}

// revocations are under way for etcd leases that no record is attached to any more.
// Without them each would stay until its TTL ends, and short jobs leave one every few
// milliseconds. They run in the background, and Close waits for them.
type revocations struct {
	mu      sync.Mutex
	closed  bool
	pending sync.WaitGroup
}

// discard revokes etcd leases in the background; 0 is none.
func (s *Store) discard(ids ...clientv3.LeaseID) {
	for _, id := range ids {
		if id != 0 {
			s.inBackground(func() { s.revoke(id) })
		}
	}
}

// discardPending revokes an etcd lease that may not have been granted yet.
func (s *Store) discardPending(l *pendingLease) {
	if l != nil {
		s.inBackground(func() { l.undo(s) })
	}
}

// inBackground runs f on a goroutine of its own, unless the store is closed.
func (o *revocations) inBackground(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	o.pending.Add(1)
	go func() {
		defer o.pending.Done()
		f()
	}()
}

// revokeWithin is how long Close waits for revocations. What is left ends with its TTL.
const revokeWithin = time.Second / 2

func (s *Store) finishRevoking() {
	s.spare.Lock()
	s.discardPending(s.spare.pending)
	s.spare.pending = nil
	s.spare.Unlock()
	s.revocations.mu.Lock()
	s.closed = true
	s.revocations.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.pending.Wait()
	}()
	select {
	case <-done:
	case <-time.After(revokeWithin):
	}
}
