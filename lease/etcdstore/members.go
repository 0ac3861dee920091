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

// members are the members of the cluster that the URL names. Each has its own connection,
// which is made at its first use. All calls go to one member for as long as it answers.
// When an answer is late, the same call also goes to another member, and the first answer
// counts. A member that is frozen or cut off says nothing that one could wait for, and
// the others are as good.
//
// The client's own balancer uses the members in turn. So when one of three hangs, every
// third call hangs, and the next call starts all over.
type members struct {
	all          []*member
	mu           sync.Mutex
	preferred    int           // the member that is called first
	usualLatency time.Duration // the longest recent answer time, decaying
}

type member struct {
	conn *grpc.ClientConn

	// The lock of members guards these.
	overdue    int       // calls that are late and not answered yet
	avoidUntil time.Time // it failed or hangs: until then the others come first
	answered   time.Time // when it last answered
	streams    map[*stream]bool
}

const (
	// After hedgeAfter without an answer a call also goes to another member; after up to
	// mostLate where answers are slow, because repeated calls would make a slow cluster
	// slower.
	hedgeAfter = 300 * time.Millisecond
	mostLate   = time.Second
	// A member hangs if it is silent for this long while another answers. Then its
	// streams are opened elsewhere, too.
	hung = time.Second
	// avoidFor is how long a member that hangs is called last.
	avoidFor = 10 * time.Second
	// firstAgain is the first pause after all members have failed.
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
	ms.preferred = rand.IntN(len(ms.all)) // so that clients spread over the members
	return ms, nil
}

// connection reconnects soon after a failure: gRPC's own pauses grow to two minutes.
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
		// The client's settings, except that no call waits for a member that is down.
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

// next picks the member to call, given how often each was called.
func (ms *members) next(called map[*member]int) *member {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	var best *member
	least := 0
	for i := range ms.all {
		m := ms.all[(ms.preferred+i)%len(ms.all)]
		cost := called[m]
		if m.suspect() {
			cost += 2 // it is called after the others were called twice
		}
		if best == nil || cost < least {
			best, least = m, cost
		}
	}
	return best
}

func (m *member) suspect() bool { return m.overdue > 0 || time.Now().Before(m.avoidUntil) }

// hedgeDelay is how long a call waits for one member before it also goes to another.
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

// markOverdue notes that these calls are late.
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
			if !s.heard.Load() { // it has delivered nothing that could be lost
				s.cut()
			}
		}
	}
}

// noteEnd notes the outcome of a call.
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

// noteAnswer watches the other copies of a call that one member has answered: a member
// that stays silent hangs.
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

// hedged calls f for one member, and for another one each time that a member is late or
// fails, until one answers or ctx ends. The error is the last one that says anything. f
// must be safe to repeat and safe to happen late: a member that was frozen does what it
// was told once it goes on.
func hedged[T any](ctx context.Context, ms *members, f func(context.Context, *member) (T, error)) (none T, err error) {
	type answer struct {
		*call
		is  T
		err error
	}
	answers, over := make(chan answer), make(chan struct{})
	defer close(over)
	var calls []*call
	called, open := map[*member]int{}, 0
	begin := func() {
		c := &call{m: ms.next(called), begun: time.Now()}
		called[c.m]++
		open++
		calls = append(calls, c)
		// The losing copy runs on for a while, to find out whether its member hangs.
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
		timer.Stop() // there is no other member
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
			case len(called) < len(ms.all):
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

// retryable reports whether another member, or the same one later, may succeed. Of a call
// that is wrong every member says the same.
func retryable(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.Internal, codes.DeadlineExceeded, codes.Canceled:
		return true
	case codes.Unknown:
		// A member answers this when it could not finish in its own time.
		return strings.Contains(err.Error(), context.DeadlineExceeded.Error())
	}
	return false
}

// cancelled reports whether we ended the call ourselves.
func cancelled(err error) bool {
	c := status.Code(err)
	return c == codes.Canceled || c == codes.DeadlineExceeded
}
