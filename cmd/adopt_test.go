//go:build unix

package cmd

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"berth/cmd/open"
	"berth/cmd/storename"
	"berth/cmd/words"
	"berth/lease"
	"berth/lease/clock"
)

// slowToAdopt is a store whose second pool can only be adopted once the lease of the first was
// renewed: adopting it takes longer than that lease lasts.
type slowToAdopt struct {
	lease.Store
	renewed chan struct{}
	once    sync.Once
}

func (s *slowToAdopt) Adopt(ctx context.Context, id string, _ lease.Process) (lease.Holding, error) {
	if id == "q/b" {
		select {
		case <-s.renewed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	pool, err := lease.PoolOf(id)
	return &renewedHolding{of: s, lease: lease.Lease{Request: lease.Request{
		ID: id, Pool: pool, Kept: true, Heartbeat: time.Millisecond, Together: []string{"p/a", "q/b"},
	}}}, err
}

type renewedHolding struct {
	lease.Holding
	of    *slowToAdopt
	lease lease.Lease
}

func (h *renewedHolding) Lease() lease.Lease { return h.lease }

func (h *renewedHolding) Expires() (none clock.Instant) { return none }

func (h *renewedHolding) Renew(context.Context, time.Duration) (lease.Inbox, error) {
	h.of.once.Do(func() { close(h.of.renewed) })
	return lease.Inbox{}, nil
}

func (h *renewedHolding) Unused(context.Context) error { return nil }

// TestAdoptedLeasesAreRenewed: the lease of one pool is renewed while that of the next is adopted.
func TestAdoptedLeasesAreRenewed(t *testing.T) {
	ctx, cancel := context.WithTimeoutCause(t.Context(), deadline, errors.New("the first lease was not renewed"))
	defer cancel()
	st, err := open.Open(storename.Spec{Where: t.TempDir()}, newSpeaker(false, false).opening(true))
	if err != nil {
		t.Fatal(err)
	}
	st.Store = &slowToAdopt{renewed: make(chan struct{})}
	r := &runner{claim: &claim{store: st}, spec: &words.Run{Lease: "p/a"}}
	all, err := r.adopt(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := all.Unused(ctx); err != nil || len(all) != 2 {
		t.Errorf("%d leases, %v; want both", len(all), err)
	}
}
