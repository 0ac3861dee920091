package etcdstore

import (
	"context"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/lease"
	"berth/lease/remote"
	"berth/lease/retry"
	"berth/lease/storetest"
	"berth/lease/storetest/engine"
)

// withUser has etcd require a login.
func withUser(t *testing.T, server *engine.Server) {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{server.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, step := range []func() error{
		func() error { _, err := c.RoleAdd(ctx, "root"); return err },
		func() error { _, err := c.UserAdd(ctx, "root", "first"); return err },
		func() error { _, err := c.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := c.UserAdd(ctx, "ann", "se/cret"); return err },
		func() error { _, err := c.UserGrantRole(ctx, "ann", "root"); return err },
		func() error { _, err := c.AuthEnable(ctx); return err },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLoginIsForgotten: a restart ends all logins. Holders and waiters log in
// again, and go on.
func TestLoginIsForgotten(t *testing.T) {
	t.Parallel()
	server := engine.Etcd(t)
	withUser(t, server)
	a, err := remote.ParseURL("etcd://ann:se%2Fcret@" + server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(a)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	h, v, err := s.TryAcquire(ctx, storetest.Request("p", 1))
	if h == nil || err != nil {
		t.Fatal(v, err)
	}
	p, err := s.Line(ctx, storetest.Request("p", 1))
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		for {
			h, _, err := p.TryAcquire(ctx, lease.Clearance{})
			if err == nil && h == nil {
				err = p.Wait(ctx)
				if err == nil {
					continue
				}
			}
			if err == nil {
				err = h.Release(ctx)
			}
			got <- err
			return
		}
	}()
	server.Kill()
	server.Start()
	if err := retry.Do(ctx, nil, func(ctx context.Context) error {
		_, err := h.Renew(ctx, 0)
		return err
	}); err != nil {
		t.Errorf("renewed after a restart: %v", err)
	}
	if err := h.Release(ctx); err != nil {
		t.Errorf("released after a restart: %v", err)
	}
	if err := <-got; err != nil {
		t.Errorf("waited through a restart: %v", err)
	}
}
