package etcdstore

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"berth/lease"
	"berth/lease/clock"
	"berth/lease/storetest"
	"berth/lease/storetest/engine"
)

// hooked calls before and after around each transaction that may write.
type hooked struct {
	clientv3.KV
	before func()
	after  func() error
}

type hookedTxn struct {
	clientv3.Txn
	k      *hooked
	writes bool
}

func (k *hooked) Txn(ctx context.Context) clientv3.Txn { return &hookedTxn{Txn: k.KV.Txn(ctx), k: k} }

func (t *hookedTxn) If(c ...clientv3.Cmp) clientv3.Txn { t.Txn = t.Txn.If(c...); return t }

func (t *hookedTxn) Then(ops ...clientv3.Op) clientv3.Txn {
	for _, o := range ops {
		t.writes = t.writes || !o.IsGet()
	}
	t.Txn = t.Txn.Then(ops...)
	return t
}

func (t *hookedTxn) Else(ops ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Else(ops...); return t }

func (t *hookedTxn) Commit() (*clientv3.TxnResponse, error) {
	if t.writes {
		t.k.before()
	}
	resp, err := t.Txn.Commit()
	if t.writes && err == nil {
		err = t.k.after()
	}
	return resp, err
}

// TestLostReply: each step is done once, though its answer was lost.
func TestLostReply(t *testing.T) {
	s := open(t, "", engine.Etcd(t))
	var lose atomic.Bool
	s.kv = &hooked{s.kv, func() {}, func() error {
		if lose.CompareAndSwap(true, false) {
			return status.Error(codes.Unavailable, "the answer is lost")
		}
		return nil
	}}
	lost := func(what string) {
		t.Helper()
		if lose.Swap(true) {
			t.Fatalf("%s: no answer was lost before it", what)
		}
	}
	ctx := soon(t)
	s.answered.Store(true)
	lost("TryAcquire")
	h := mustTry(t, s, storetest.Request("p", 1))
	lost("Line")
	p, err := s.Line(ctx, storetest.Request("p", 1))
	if err != nil {
		t.Fatal(err)
	}
	if h, v, err := p.TryAcquire(ctx, lease.Clearance{}); h != nil || err != nil || v.Reason != lease.Full {
		t.Fatalf("%v, %v, %v; want full", h, v, err)
	}
	lost("Release")
	mustRelease(t, h)
	if h, err = storetest.Get(ctx, p); err != nil {
		t.Fatal(err)
	}
	q, err := s.Line(ctx, storetest.Request("p", 1))
	if err != nil {
		t.Fatal(err)
	}
	lost("StepAside")
	if err := q.StepAside(ctx); err != nil {
		t.Fatal(err)
	}
	lost("Leave")
	if err := q.Leave(ctx); err != nil {
		t.Fatal(err)
	}
	mustRelease(t, h)
	if q, err = s.Line(ctx, gated()); err != nil {
		t.Fatal(err)
	}
	lost("Place.TryAcquire")
	h, _, err = q.TryAcquire(ctx, lease.Clearance{Gates: []string{"g"}, Last: last(t, s), At: s.Clock()})
	if err != nil || h == nil {
		t.Fatalf("%v, %v; want a lease", h, err)
	}
	if _, err := h.Renew(ctx, 0); err != nil {
		t.Error(err)
	}
	mustRelease(t, h)
	pools, err := s.List(ctx, "p")
	if err != nil || pools[0].Used != 0 || len(pools[0].Waiters) != 0 {
		t.Errorf("%+v, %v; want it empty", pools, err)
	}
}

// TestGivesUp: through an outage a release, StepAside and Leave end with their own time, and
// say what that leaves behind.
func TestGivesUp(t *testing.T) {
	server := engine.Etcd(t)
	s := open(t, "", server)
	s.timings.Release, s.timings.Aside = 50*time.Millisecond, 50*time.Millisecond
	h, p := mustTry(t, s, request(1, time.Minute)), mustLine(t, s, request(1, time.Minute))
	server.Freeze()
	for want, step := range map[string]func(context.Context) error{
		"cannot give back slot 0 of pool p, which is free again when its lease has ended: cannot reach store": h.Release,
		"cannot reach store":                      p.StepAside,
		"cannot leave the line of pool p: cannot": p.Leave,
	} {
		ctx := soon(t)
		err := step(ctx)
		if ctx.Err() != nil {
			t.Errorf("%s: it went on until its caller's time was over", want)
		}
		if !errors.As(err, new(*lease.UnreachableError)) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want an UnreachableError that says %q", err, want)
		}
	}
}

// gated does not say that it waits before it asks for its slots.
func gated() lease.Request {
	r := storetest.Request("p", 1)
	r.Gates = "g"
	return r
}

func last(t *testing.T, s lease.Store) clock.Instant {
	t.Helper()
	pools, err := s.List(soon(t), "p")
	if err != nil {
		t.Fatal(err)
	}
	return pools[0].Starts.Last
}

// TestRevoked: a lease that a person ends by hand is lost, and its holder is told.
func TestRevoked(t *testing.T) {
	server := engine.Etcd(t)
	s, other := open(t, "", server), open(t, "", server)
	h := mustTry(t, s, request(1, time.Minute))
	first, second := mustLine(t, s, request(1, 3*time.Second)), mustLine(t, s, request(1, time.Minute))
	stood := lease.Ticket{Request: lease.Request{ID: first.ticket.ID}, Seq: first.ticket.Seq}
	// The first loses its place without knowing, and stands there again.
	if _, err := other.client.Revoke(soon(t), first.attached.id); err != nil {
		t.Fatal(err)
	}
	a, b := wait(t, first), wait(t, second)
	eventually(t, "the first in its old place", func() bool {
		v, err := s.Summary(soon(t), "p", stood)
		return err == nil && v.Line == 2 && v.Place == 1
	})
	if _, err := other.client.Revoke(soon(t), h.(*holding).on.id); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Renew(soon(t), 0); !errors.Is(err, lease.ErrLost) {
		t.Errorf("Renew: %v, want ErrLost", err)
	}
	if err := s.renewLease(soon(t), &h.(*holding).on); !errors.Is(err, lease.ErrLost) {
		t.Errorf("a heartbeat: %v, want ErrLost", err)
	}
	next := mustGet(t, a)
	mustRelease(t, h)
	if _, err := next.Renew(soon(t), 0); err != nil {
		t.Errorf("Renew of the next one: %v", err)
	}
	mustRelease(t, next)
	mustRelease(t, mustGet(t, b))
}
