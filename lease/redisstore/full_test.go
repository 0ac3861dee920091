package redisstore_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/redisstore"
	"berth/lease/remote"
	"berth/lease/storetest/engine"
)

// A server without memory grants nothing new. Holders are not lost by that, and can give
// back.
func TestNoMemory(t *testing.T) {
	t.Parallel()
	server := known(t)
	s := open(t, server, "")
	a, b := try(t, s, job(3, longTTL)), try(t, s, job(3, longTTL))
	command(t, server, "CONFIG", "SET", "maxmemory", "1")
	var out *lease.UnreachableError
	if h, _, err := s.TryAcquire(within(t), job(3, longTTL)); h != nil || !errors.As(err, &out) || !strings.Contains(err.Error(), server.Addr) {
		t.Errorf("TryAcquire: %v, %v; want an UnreachableError that names the store", h, err)
	}
	if _, err := a.Renew(within(t), 0); errors.Is(err, lease.ErrLost) {
		t.Errorf("Renew: %v", err)
	}
	release(t, a)
	if p := pool(t, s); p.Used != 1 {
		t.Errorf("%+v: want one slot in use", p)
	}
	command(t, server, "CONFIG", "SET", "maxmemory", "0")
	if _, err := b.Renew(within(t), 0); err != nil {
		t.Error(err)
	}
	release(t, b)
	empty(t, s)
}

// A replica without a master says so at each step; no step hangs.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	master := known(t)
	host, port, _ := net.SplitHostPort(master.Addr)
	replica := engine.Redis(t, "--replicaof", host, port)
	told := make(chan error, 100)
	s := openAt(t, replica.Addr, func(a *remote.Address) { a.Trouble = func(err error) { told <- err } }, redisstore.Timings{})
	named := func(err error) {
		t.Helper()
		var out *lease.UnreachableError
		if !errors.As(err, &out) || !strings.Contains(err.Error(), replica.Addr) || !strings.Contains(err.Error(), "READONLY") {
			t.Errorf("%v; want an UnreachableError that names the store and says why", err)
		}
	}
	_, _, err := s.TryAcquire(within(t), job(1, longTTL))
	named(err)
	_, err = s.List(within(t), "p")
	named(err)
	_, err = s.Tell(within(t), "p/000000000000", lease.Message{Kind: lease.MessageKeepalive})
	named(err)
	ctx, cancel := context.WithCancelCause(within(t))
	enough := errors.New("enough")
	go func() {
		select {
		case err := <-told:
			named(err)
		case <-time.After(deadline):
			t.Error("no notice was given")
		}
		cancel(enough)
	}()
	if _, err := s.Line(ctx, job(1, longTTL)); !errors.Is(err, enough) {
		t.Errorf("Line: %v; want why its time was over", err)
	}
}

// A limit that no pool has is a limit as well.
func TestHugeNumbers(t *testing.T) {
	t.Parallel()
	const huge = 1_000_000_000_000_000
	s := open(t, known(t), "")
	h := try(t, s, job(huge, longTTL))
	if l := h.Lease(); l.InForce != huge {
		t.Errorf("in force %d, want %d", l.InForce, huge)
	}
	refused(t, s, job(1, longTTL), lease.Full)
	if _, err := h.Renew(within(t), 0); err != nil {
		t.Error(err)
	}
	release(t, h)
	empty(t, s)
}
