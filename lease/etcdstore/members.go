package etcdstore

import (
	"context"
	"math"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
)

// members are those of the cluster that the URL names, each with a connection of its
// own, which is made when it is first used. All calls go to one of them for as long as
// it answers. When it is late the same call goes to another one as well, and the first
// answer counts: a member that is frozen, or cut off, says nothing that could be waited
// for, and the others are as good.
//
// The client's own balancer asks all members by turns. So with one hung of three each
// third call hangs, and the next one starts afresh.
type members struct {
	all          []*member
	mu           sync.Mutex
	preferred    int           // who is asked first
	usualLatency time.Duration // how long an answer took at most, lately
}

type member struct {
	conn *grpc.ClientConn

	// With the lock of members:
	overdue    int       // calls that are late, and not answered yet
	avoidUntil time.Time // it failed or hangs: until then the others come first
	answered   time.Time // when it last did
	streams    map[*stream]bool
}

const (
	// hedgeAfter is a call that is not answered after so long, and mostLate where answers take
	// long: calls that are asked again and again would make a slow cluster slower.
	hedgeAfter = 300 * time.Millisecond
	mostLate   = time.Second
	// hung is how long a member has to be silent, while another answers, to count as one
	// that hangs: then also what only listens to it goes elsewhere.
	hung = time.Second
	// avoidFor is how long such a one comes last.
	avoidFor = 10 * time.Second
	// firstAgain is how soon all are asked again when all have failed.
	firstAgain = 20 * time.Millisecond

	connectFor = 5 * time.Second
)

func newMembers(cfg clientv3.Config, u *user) (*members, error) {
	ms := &members{}
	for _, e := range cfg.Endpoints {
		_, host, _ := strings.Cut(e, "://")
		conn, err := connection(host, cfg, u)
		if err != nil {
			ms.close()
			return nil, err
		}
		ms.all = append(ms.all, &member{conn: conn, streams: map[*stream]bool{}})
	}
	ms.preferred = rand.IntN(len(ms.all)) // or all would go to the first of the URL
	return ms, nil
}

// connection tries again soon after a failure: gRPC's own pauses grow to two minutes.
func connection(host string, cfg clientv3.Config, u *user) (*grpc.ClientConn, error) {
	safe := insecure.NewCredentials()
	if cfg.TLS != nil {
		safe = credentials.NewTLS(cfg.TLS)
	}
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(safe),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingWaits}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: hedgeAfter / 3, Multiplier: 1.6, Jitter: 0.2, MaxDelay: attemptTimeout},
			MinConnectTimeout: connectFor,
		}),
		// As the client has them, but that nobody waits for a member that is not there.
		grpc.WithDefaultCallOptions(grpc.WaitForReady(false), grpc.MaxCallSendMsgSize(2<<20), grpc.MaxCallRecvMsgSize(math.MaxInt32)),
	}
	if u != nil {
		opts = append(opts, grpc.WithPerRPCCredentials(u))
	}
	return grpc.NewClient("passthrough:///"+url.PathEscape(host), opts...)
}

func (ms *members) close() {
	for _, m := range ms.all {
		_ = m.conn.Close()
	}
}

// next is who is to be asked next, after these have been asked so often.
func (ms *members) next(asked map[*member]int) *member {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	var best *member
	least := 0
	for i := range ms.all {
		m := ms.all[(ms.preferred+i)%len(ms.all)]
		cost := asked[m]
		if m.suspect() {
			cost += 2 // the others twice, and then this one
		}
		if best == nil || cost < least {
			best, least = m, cost
		}
	}
	return best
}

func (m *member) suspect() bool { return m.overdue > 0 || time.Now().Before(m.avoidUntil) }

// hedgeDelay is how long a call waits for a member before another one is asked as well.
func (ms *members) hedgeDelay() time.Duration {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	return min(max(hedgeAfter, 2*ms.usualLatency), mostLate)
}

// call is one copy of a call, at one member.
type call struct {
	m      *member
	begun  time.Time
	cancel context.CancelFunc
	late   bool
	done   bool
}

// markOverdue says that these have not been answered in time.
func (ms *members) markOverdue(calls []*call) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	for _, c := range calls {
		if c.late || c.done {
			continue
		}
		c.late = true
		c.m.overdue++
		for s := range c.m.streams {
			if !s.heard.Load() { // there is nothing to lose
				s.cut()
			}
		}
	}
}

// noteEnd says what became of a call.
func (ms *members) noteEnd(c *call, err error) {
	c.cancel()
	now := time.Now()
	ms.mu.Lock()
	defer ms.mu.Unlock()
	c.done = true
	if c.late {
		c.m.overdue--
	}
	switch {
	case err == nil || !retryable(err):
		c.m.answered, c.m.avoidUntil = now, time.Time{}
		ms.usualLatency = max(now.Sub(c.begun), ms.usualLatency*7/8)
	case !cancelled(err):
		c.m.avoidUntil = now.Add(avoidFor)
	}
}

// noteAnswer is what follows from the answer of one member for the others that were asked:
// those that stay silent hang.
func (ms *members) noteAnswer(by *member, calls []*call) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if first := ms.all[ms.preferred]; first != by && time.Now().Before(first.avoidUntil) {
		ms.prefer(by)
	}
	for _, c := range calls {
		if !c.done {
			time.AfterFunc(hung-time.Since(c.begun), func() { ms.noteSilence(c, by) })
		}
	}
}

func (ms *members) noteSilence(c *call, by *member) {
	c.cancel()
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if c.done || c.m.answered.After(c.begun) {
		return
	}
	c.m.avoidUntil = time.Now().Add(avoidFor)
	for s := range c.m.streams {
		s.cut()
	}
	if ms.all[ms.preferred] == c.m {
		ms.prefer(by)
	}
}

func (ms *members) prefer(m *member) {
	for i := range ms.all {
		if ms.all[i] == m {
			ms.preferred = i
		}
	}
}

// hedged calls f for a member, and for another each time that one is late or fails, until
// one has answered or ctx ends; then the error is that of the last one that told any.
// So f must be safe to repeat, and safe to be done late: a member that was frozen does
// what it was asked for once it goes on.
func hedged[T any](ctx context.Context, ms *members, f func(context.Context, *member) (T, error)) (none T, err error) {
	type answer struct {
		*call
		is  T
		err error
	}
	answers, over := make(chan answer), make(chan struct{})
	defer close(over)
	var calls []*call
	asked, open := map[*member]int{}, 0
	begin := func() {
		c := &call{m: ms.next(asked), begun: time.Now()}
		asked[c.m]++
		open++
		calls = append(calls, c)
		// One that lost goes on for a while: whether its member hangs shows then.
		own := context.WithoutCancel(ctx)
		if end, ok := ctx.Deadline(); ok {
			own, c.cancel = context.WithDeadline(own, end)
		} else {
			own, c.cancel = context.WithCancel(own)
		}
		go func() {
			is, err := f(own, c.m)
			ms.noteEnd(c, err)
			select {
			case answers <- answer{c, is, err}:
			case <-over:
			}
		}()
	}
	begin()
	timer := time.NewTimer(ms.hedgeDelay())
	defer timer.Stop()
	if len(ms.all) == 1 {
		timer.Stop() // there is nobody else to ask
	}
	for again := firstAgain; ; {
		select {
		case a := <-answers:
			open--
			if a.err == nil || !retryable(a.err) {
				ms.noteAnswer(a.m, calls)
				return a.is, a.err
			}
			if !cancelled(a.err) {
				err = a.err
			}
			switch {
			case len(asked) < len(ms.all):
				begin()
				timer.Reset(ms.hedgeDelay())
			case open == 0:
				timer.Reset(again)
				again = min(2*again, hedgeAfter)
			}
		case <-timer.C:
			ms.markOverdue(calls)
			begin()
			if len(ms.all) > 1 {
				timer.Reset(ms.hedgeDelay())
			}
		case <-ctx.Done():
			for _, c := range calls {
				c.cancel()
			}
			if err == nil {
				err = status.FromContextError(ctx.Err()).Err()
			}
			return none, err
		}
	}
}

// retryable reports whether another member, or the same one later, may do better. What
// etcd says of a call that is wrong it would say again.
func retryable(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.Internal, codes.DeadlineExceeded, codes.Canceled:
		return true
	case codes.Unknown:
		// What a member says that was not done in its own time.
		return strings.Contains(err.Error(), context.DeadlineExceeded.Error())
	}
	return false
}

// cancelled: it was us who ended it.
func cancelled(err error) bool {
	c := status.Code(err)
	return c == codes.Canceled || c == codes.DeadlineExceeded
}
