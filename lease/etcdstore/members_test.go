package etcdstore

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"berth/lease"
	"berth/lease/storetest/engine"
)

// named are members without connections.
func named(n int) *members {
	ms := &members{}
	for range n {
		ms.all = append(ms.all, &member{streams: map[*stream]bool{}})
	}
	return ms
}

// behaves is how a member answers each call: after so long, with that error. Without an
// after it never does.
type behaves struct {
	after time.Duration
	err   error
}

var (
	errDown  = status.Error(codes.Unavailable, "down")
	errWrong = status.Error(codes.PermissionDenied, "wrong")
	prompt   = behaves{after: time.Millisecond}
	slow     = behaves{after: 400 * time.Millisecond}
	mute     = behaves{}
	down     = behaves{time.Millisecond, errDown}
)

// askOnce asks, and tells who answered and how long it took.
func askOnce(ms *members, how []behaves, calls *[]int) (who int, took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), attemptTimeout)
	defer cancel()
	begun := time.Now()
	who, err = hedged(ctx, ms, func(ctx context.Context, m *member) (int, error) {
		for i := range ms.all {
			if ms.all[i] != m {
				continue
			}
			ms.mu.Lock()
			*calls = append(*calls, i)
			ms.mu.Unlock()
			if how[i].after == 0 {
				<-ctx.Done()
				return i, status.FromContextError(ctx.Err()).Err()
			}
			time.Sleep(how[i].after)
			return i, how[i].err
		}
		panic("none of them")
	})
	return who, time.Since(begun), err
}

func TestAsk(t *testing.T) {
	for _, c := range []struct {
		name  string
		how   []behaves
		who   int
		took  time.Duration
		err   error
		calls int
		first int // who is asked first from then on
	}{
		{"all is well", []behaves{prompt, prompt, prompt}, 0, time.Millisecond, nil, 1, 0},
		{"one hangs", []behaves{mute, prompt, prompt}, 1, hedgeAfter + time.Millisecond, nil, 2, 1},
		{"two hang", []behaves{mute, mute, prompt}, 2, 2*hedgeAfter + time.Millisecond, nil, 3, 2},
		{"one is down", []behaves{down, prompt, prompt}, 1, 2 * time.Millisecond, nil, 2, 1},
		{"one is down, one hangs", []behaves{down, mute, prompt}, 2, hedgeAfter + 2*time.Millisecond, nil, 3, 2},
		{"one is slow", []behaves{slow, mute, mute}, 0, 400 * time.Millisecond, nil, 2, 0},
		{"one is slow, another answers", []behaves{slow, prompt, prompt}, 1, hedgeAfter + time.Millisecond, nil, 2, 0},
		{"it is wrong", []behaves{{time.Millisecond, errWrong}, prompt, prompt}, 0, time.Millisecond, errWrong, 1, 0},
		{"alone and well", []behaves{prompt}, 0, time.Millisecond, nil, 1, 0},
		{"alone and slow", []behaves{slow}, 0, 400 * time.Millisecond, nil, 1, 0},
		{"all are down", []behaves{down, down, down}, 0, attemptTimeout, errDown, 0, -1},
		{"alone and down", []behaves{down}, 0, attemptTimeout, errDown, 0, 0},
		{"all hang", []behaves{mute, mute, mute}, 0, attemptTimeout, context.DeadlineExceeded, 7, -1},
		{"alone and hangs", []behaves{mute}, 0, attemptTimeout, context.DeadlineExceeded, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ms := named(len(c.how))
				var calls []int
				who, took, err := askOnce(ms, c.how, &calls)
				ms.mu.Lock()
				n := len(calls)
				ms.mu.Unlock()
				switch {
				case err == nil && (who != c.who || c.err != nil), took != c.took, c.calls != 0 && n != c.calls:
					t.Errorf("%d answered after %v, %v, of %d calls; want %d after %v, %v, of %d", who, took, err, n, c.who, c.took, c.err, c.calls)
				case status.Code(err) != status.Code(c.err) && status.Code(err) != status.FromContextError(c.err).Code():
					t.Errorf("%v, want %v", err, c.err)
				case n > 60:
					t.Errorf("%d calls in %v", n, took)
				}
				time.Sleep(2 * avoidFor)
				if next := ms.next(nil); c.first >= 0 && next != ms.all[c.first] {
					t.Errorf("the next call does not go to %d", c.first)
				}
			})
		})
	}
}

// TestHungStreams: what listens to a member that hangs goes elsewhere, and what listens to
// one that is only slow stays.
func TestHungStreams(t *testing.T) {
	for name, c := range map[string]struct {
		how          behaves
		heard, begun bool // is cut: a stream that has said something, one that has not
	}{
		"hangs": {mute, true, true},
		"slow":  {slow, false, true},
		"well":  {prompt, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ms := named(3)
				var cut [2]bool
				for i := range cut {
					s := &stream{ms: ms, m: ms.all[0], cut: func() { cut[i] = true }}
					s.heard.Store(i == 0)
					ms.all[0].streams[s] = true
				}
				if _, _, err := askOnce(ms, []behaves{c.how, prompt, prompt}, new([]int)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * hung)
				ms.mu.Lock()
				defer ms.mu.Unlock()
				if cut != [2]bool{c.heard, c.begun} {
					t.Errorf("cut: %v", cut)
				}
			})
		})
	}
}

// twice does each transaction that may write twice, and believes what came of the second:
// as if the first had gone to a member that was late.
type twice struct{ clientv3.KV }

type twiceTxn struct {
	clientv3.Txn
	writes bool
}

func (k twice) Txn(ctx context.Context) clientv3.Txn { return &twiceTxn{Txn: k.KV.Txn(ctx)} }

func (t *twiceTxn) If(c ...clientv3.Cmp) clientv3.Txn { t.Txn = t.Txn.If(c...); return t }

func (t *twiceTxn) Then(ops ...clientv3.Op) clientv3.Txn {
	for _, o := range ops {
		t.writes = t.writes || !o.IsGet()
	}
	t.Txn = t.Txn.Then(ops...)
	return t
}

func (t *twiceTxn) Else(ops ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Else(ops...); return t }

func (t *twiceTxn) Commit() (*clientv3.TxnResponse, error) {
	if t.writes {
		if _, err := t.Txn.Commit(); err != nil {
			return nil, err
		}
	}
	return t.Txn.Commit()
}

type twiceLives struct{ pb.LeaseClient }

func (l twiceLives) LeaseGrant(ctx context.Context, r *pb.LeaseGrantRequest, opts ...grpc.CallOption) (*pb.LeaseGrantResponse, error) {
	_, _ = l.LeaseClient.LeaseGrant(ctx, r, opts...)
	return l.LeaseClient.LeaseGrant(ctx, r, opts...)
}

// TestTwice: a step that two members did is one step.
func TestTwice(t *testing.T) {
	s := open(t, "", engine.Etcd(t))
	s.kv, s.leases = twice{s.kv}, twiceLives{s.leases}
	h := mustTry(t, s, request(1, time.Minute))
	p, q := mustLine(t, s, request(1, time.Minute)), mustLine(t, s, request(1, time.Minute))
	if err := p.StepAside(soon(t)); err != nil {
		t.Fatal(err)
	}
	if err := p.Return(soon(t)); err != nil {
		t.Fatal(err)
	}
	for _, ttl := range []time.Duration{time.Hour, time.Minute, 0} {
		if _, err := h.Renew(soon(t), ttl); err != nil {
			t.Errorf("renewed for %v: %v", ttl, err)
		}
	}
	first := wait(t, p)
	mustRelease(t, h)
	h = mustGet(t, first)
	if err := q.Leave(soon(t)); err != nil {
		t.Error(err)
	}
	if err := h.Unused(soon(t)); err != nil {
		t.Error(err)
	}
	pools, err := s.List(soon(t), "p")
	if err != nil || pools[0].Used != 0 || len(pools[0].Waiters) != 0 || pools[0].Starts.Count != 1 {
		t.Errorf("%+v, %v; want it empty after one start that counts", pools, err)
	}
}

// silent keeps to itself what it reads, and so a caller hangs.
type silent struct{ clientv3.KV }

type silentTxn struct {
	clientv3.Txn
	ctx context.Context
}

func (k silent) Txn(ctx context.Context) clientv3.Txn { return &silentTxn{k.KV.Txn(ctx), ctx} }

func (t *silentTxn) If(c ...clientv3.Cmp) clientv3.Txn    { t.Txn = t.Txn.If(c...); return t }
func (t *silentTxn) Then(ops ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Then(ops...); return t }
func (t *silentTxn) Else(ops ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Else(ops...); return t }
func (t *silentTxn) Commit() (*clientv3.TxnResponse, error) {
	<-t.ctx.Done()
	return nil, status.FromContextError(t.ctx.Err()).Err()
}

// TestOnlyHeartbeats: a job is not ended because its messages cannot be read.
// A member that has lost its leader answers no read, and the leader keeps its life.
func TestOnlyHeartbeats(t *testing.T) {
	s := open(t, "", engine.Etcd(t))
	h := mustTry(t, s, request(1, time.Minute))
	kv, was := s.kv, h.Expires()
	s.kv = silent{kv}
	_, err := h.Renew(soon(t), 0)
	s.kv = kv
	if out := (*lease.UnreachableError)(nil); !errors.As(err, &out) || h.Expires() <= was {
		t.Errorf("%v, and %v more; want the error, and more time", err, h.Expires()-was)
	}
	mustRelease(t, h)
}

// TestDeposed: a heartbeat that was kept by a leader of an earlier term is none.
func TestDeposed(t *testing.T) {
	s := open(t, "", engine.Etcd(t))
	h := mustTry(t, s, request(1, time.Minute)).(*holding)
	if _, err := h.Renew(soon(t), 0); err != nil {
		t.Fatal(err)
	}
	was := h.Expires()
	s.latestTerm.Add(1)
	_, err := h.Renew(soon(t), 0)
	if out := (*lease.UnreachableError)(nil); !errors.As(err, &out) || h.Expires() != was {
		t.Errorf("%v, and %v more; want neither", err, h.Expires()-was)
	}
	s.latestTerm.Add(^uint64(0))
	mustRelease(t, h)
}
