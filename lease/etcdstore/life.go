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
)

// life is a lease of etcd, which records hang on.
type life struct {
	id    clientv3.LeaseID
	asked time.Duration // the TTL that was wanted
	ttl   time.Duration // and the one that etcd gave
	// sent is when its last sign of life was sent that has been answered.
	sent time.Duration
}

// wholeSeconds is how etcd counts.
func wholeSeconds(ttl time.Duration) int64 { return int64((ttl + time.Second - 1) / time.Second) }

func (l life) ends() time.Duration { return l.sent + l.ttl }

// stale: the next sign of life is due.
func (l life) stale() bool { return lease.Boottime()-l.sent >= l.ttl/4 }

// rests is for how long it can be left alone: somewhat longer than until stale.
func (l life) rests() time.Duration { return l.sent + l.ttl/3 - lease.Boottime() }

// begin asks for a life under an id of ours: the same question may reach several
// members, or one of them late, and none of them makes a second life of it.
func (s *Store) begin(ctx context.Context, ttl time.Duration) (life, error) {
	if ttl <= 0 {
		ttl = lease.DefaultTTL
	}
	l := life{asked: ttl, id: clientv3.LeaseID(rand.Int64N(math.MaxInt64) + 1)}
	err := s.attempt(ctx, func(ctx context.Context) error {
		l.sent = lease.Boottime()
		resp, err := s.lives.LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: int64(l.id), TTL: wholeSeconds(ttl)})
		if err == nil {
			l.ttl = time.Duration(resp.TTL) * time.Second
		}
		return err
	})
	if errors.Is(err, rpctypes.ErrLeaseExist) { // what we asked another member for came first
		err = s.sign(ctx, &l)
	}
	return l, err
}

// sign gives a sign of life. lease.ErrLost when it was too late for it.
//
// The client's own KeepAliveOnce tries again without a pause for as long as nobody
// can be reached.
func (s *Store) sign(ctx context.Context, l *life) error {
	return s.attempt(ctx, func(ctx context.Context) error {
		kept, err := ask(ctx, s.among, func(ctx context.Context, m *member) (life, error) { return s.keepAlive(ctx, m, l.id) })
		if err == nil {
			l.ttl, l.sent = kept.ttl, kept.sent
		}
		return err
	})
}

// errDeposed is what a member has to say that was frozen while it led, and does not know
// yet that another one does: that one counts the lives now.
var errDeposed = status.Error(codes.Unavailable, "it leads no more")

func (s *Store) keepAlive(ctx context.Context, m *member, id clientv3.LeaseID) (l life, err error) {
	l.sent = lease.Boottime()
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
	case s.isOld(resp.Header.GetRaftTerm()):
		return l, errDeposed
	case resp.TTL <= 0:
		return l, lease.ErrLost
	}
	l.ttl = time.Duration(resp.TTL) * time.Second
	return l, nil
}

// isOld reports whether a leader of a later term has kept a life of ours.
func (s *Store) isOld(term uint64) bool {
	for {
		latest := s.term.Load()
		if term < latest {
			return true
		}
		if s.term.CompareAndSwap(latest, term) {
			return false
		}
	}
}

// revoke ends a life, with all that hangs on it. It ends by itself where that fails.
func (s *Store) revoke(id clientv3.LeaseID) { _ = s.revokeNow(s.client.Ctx(), id) }

// revokeNow is no error where it had ended before.
func (s *Store) revokeNow(ctx context.Context, id clientv3.LeaseID) error {
	err := s.attempt(ctx, func(ctx context.Context) error {
		_, err := s.client.Revoke(ctx, id)
		return err
	})
	if over(err) {
		return nil
	}
	return err
}

// loan is a life that is being asked for while something else is done.
type loan struct {
	done chan struct{}
	life life // once done
	err  error
}

// spare is a life that nothing hangs on: of a request that was refused, for its
// place in the line. One that nobody takes ends by itself.
type spare struct {
	sync.Mutex
	loan *loan
}

// borrow asks for a life, or takes the spare one.
func (s *Store) borrow(ctx context.Context, ttl time.Duration) *loan {
	s.spare.Lock()
	defer s.spare.Unlock()
	if l := s.spare.loan; l != nil {
		s.spare.loan = nil
		if l.good(ttl) {
			return l
		}
		s.discardLoan(l)
	}
	return s.fresh(ctx, ttl)
}

func (s *Store) fresh(ctx context.Context, ttl time.Duration) *loan {
	l := &loan{done: make(chan struct{})}
	ctx = context.WithoutCancel(ctx) // it may be for the next one
	go func() {
		defer close(l.done)
		l.life, l.err = s.begin(ctx, ttl)
	}()
	return l
}

func (l *loan) good(ttl time.Duration) bool {
	select {
	case <-l.done:
		return l.err == nil && l.life.asked == ttl && !l.life.stale()
	default:
		return false
	}
}

func (l *loan) wait(ctx context.Context) (life, error) {
	select {
	case <-l.done:
		return l.life, l.err
	case <-ctx.Done():
		return life{}, context.Cause(ctx)
	}
}

// undo ends a life that something may hang on.
func (l *loan) undo(s *Store) {
	<-l.done
	if l.err == nil {
		s.revoke(l.life.id)
	}
}

func (s *Store) giveBack(l *loan) {
	s.spare.Lock()
	defer s.spare.Unlock()
	s.discardLoan(s.spare.loan)
	s.spare.loan = l
}

// leftovers are etcd leases that nothing hangs on any more. Each would stay until its TTL
// is over, and a job that waits for nobody leaves one every few milliseconds. They are
// revoked beside what else is done; the end of the program waits for that.
type leftovers struct {
	mu      sync.Mutex
	closed  bool
	pending sync.WaitGroup
}

// discard revokes them; 0 is none.
func (s *Store) discard(ids ...clientv3.LeaseID) {
	for _, id := range ids {
		if id != 0 {
			s.beside(func() { s.revoke(id) })
		}
	}
}

// discardLoan revokes one that may not have come yet, and that nothing hangs on.
func (s *Store) discardLoan(l *loan) {
	if l != nil {
		s.beside(func() { l.undo(s) })
	}
}

// beside does f beside what else is done, unless the store is closed.
func (o *leftovers) beside(f func()) {
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

// tidyFor is how long the end of the program waits for it: they end by themselves, too.
const tidyFor = time.Second / 2

func (s *Store) tidy() {
	s.spare.Lock()
	s.discardLoan(s.spare.loan)
	s.spare.loan = nil
	s.spare.Unlock()
	s.leftovers.mu.Lock()
	s.closed = true
	s.leftovers.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.pending.Wait()
	}()
	select {
	case <-done:
	case <-time.After(tidyFor):
	}
}
