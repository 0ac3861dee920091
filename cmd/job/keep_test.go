//go:build unix

package job

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"berth/cmd/tty"
	"berth/lease"
	"berth/lease/memstore"
	"berth/limiter"
)

// keeping is a lease of its own that Keep keeps, until done is closed.
type keeping struct {
	store *memstore.Store
	id    string
	gone  chan struct{}
	done  chan struct{}
}

func keep(t *testing.T, spec Spec) *keeping {
	t.Helper()
	s := &memstore.Store{}
	q := lease.Request{
		ID: lease.NewID("p"), Pool: "p", Weight: 1, Limit: 1, Kept: true, Heartbeat: 5 * time.Millisecond,
		Timeout: spec.Timeout, IdleTimeout: spec.IdleTimeout,
	}
	h, _, err := s.TryAcquire(t.Context(), q)
	if err != nil || h == nil {
		t.Fatal(h, err)
	}
	k := &keeping{s, q.ID, make(chan struct{}), make(chan struct{})}
	in := Inputs{
		Signals: tty.NewSignals(), Clock: s.Clock, Gone: k.gone,
		Tell: func(ctx context.Context, id string, stop lease.Stop) error {
			_, err := s.Tell(ctx, id, lease.Message{Kind: lease.MessageStop, Stop: stop})
			return err
		},
	}
	go func() {
		Keep(context.Background(), limiter.Sessions{limiter.NewSession(h)}, spec, in)
		close(k.done)
	}()
	t.Cleanup(func() {
		_, _ = s.Tell(context.Background(), k.id, lease.Message{Kind: lease.MessageRelease})
		k.ends(t)
	})
	return k
}

func (k *keeping) ends(t *testing.T) {
	t.Helper()
	select {
	case <-k.done:
	case <-time.After(time.Minute):
		t.Fatal("it is still kept")
	}
	if p, err := k.store.List(context.Background(), "p"); err != nil || p[0].Used > 0 {
		t.Errorf("%d slots are in use; %v", p[0].Used, err)
	}
}

func (k *keeping) told(t *testing.T, m lease.Message) {
	t.Helper()
	if _, err := k.store.Tell(t.Context(), k.id, m); err != nil {
		t.Fatal(err)
	}
}

// ways are how a lease that is kept comes to its end.
var ways = map[string]struct {
	spec Spec
	do   func(*testing.T, *keeping)
}{
	"the process is gone": {Spec{}, func(_ *testing.T, k *keeping) { close(k.gone) }},
	"release":             {Spec{}, func(t *testing.T, k *keeping) { k.told(t, lease.Message{Kind: lease.MessageRelease}) }},
	"stop":                {Spec{}, func(t *testing.T, k *keeping) { k.told(t, lease.Message{Kind: lease.MessageStop}) }},
	"--timeout":           {Spec{Timeout: time.Millisecond}, func(*testing.T, *keeping) {}},
	"--idle-timeout":      {Spec{IdleTimeout: time.Millisecond}, func(*testing.T, *keeping) {}},
}

// TestKeepEnds: each of the ways frees the slot.
func TestKeepEnds(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			k := keep(t, way.spec)
			way.do(t, k)
			k.ends(t)
		})
	}
}

// keepAdopted keeps a lease that another process has adopted before its time limit is over: one
// that is too short for that on a busy machine is made longer.
func keepAdopted(t *testing.T, spec *Spec) (*keeping, lease.Holding) {
	for {
		spec.Timeout, spec.IdleTimeout = 100*spec.Timeout, 100*spec.IdleTimeout
		k := keep(t, *spec)
		h, err := k.store.Adopt(t.Context(), k.id, lease.Process{PID: 7, Start: 1})
		if err == nil {
			return k, h
		}
		if spec.Timeout+spec.IdleTimeout == 0 {
			t.Fatal(err)
		}
	}
}

// TestKeepWaitsForAdopter: what runs under a lease keeps it, and is told of a time limit.
func TestKeepWaitsForAdopter(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			spec := way.spec
			k, h := keepAdopted(t, &spec)
			way.do(t, k)
			if spec.Timeout+spec.IdleTimeout > 0 {
				for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
					in, err := h.Renew(t.Context(), 0)
					if err != nil || time.Now().After(end) {
						t.Fatal("it was not told of its time limit: ", err)
					}
					if in.Stop != nil {
						if in.Stop.TimeLimit != name {
							t.Errorf("told of %q", in.Stop.TimeLimit)
						}
						break
					}
				}
			}
			if _, err := h.Renew(t.Context(), 0); err != nil {
				t.Errorf("the lease is not kept: %v", err)
			}
			select {
			case <-k.done:
				t.Error("the keeper has ended")
			default:
			}
			if err := h.Release(t.Context()); err != nil {
				t.Error(err)
			}
			k.ends(t)
		})
	}
}

// TestKeepIsNotAdoptedTwice: the keeper goes on after a process has handed the lease back.
func TestKeepIsNotAdoptedTwice(t *testing.T) {
	k := keep(t, Spec{})
	for pid := range 3 {
		h, err := k.store.Adopt(t.Context(), k.id, lease.Process{PID: pid + 1, Start: 1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.store.Adopt(t.Context(), k.id, lease.Process{PID: 99, Start: 1}); !errors.As(err, new(*lease.AdoptedError)) {
			t.Errorf("a second one: %v", err)
		}
		if err := h.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKeepHearsSignals: a signal that ends a process gives the slot back, TSTP does nothing.
func TestKeepHearsSignals(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT} {
		m := machine{life: lifeIn(running, Spec{Kept: true})}
		m, _ = m.on(event{kind: signalled, signal: tty.TSTP, at: now})
		if m.control != (control{}) || m.life.state != running {
			t.Errorf("TSTP: %v, %+v", m.life.state, m.control)
		}
		if m, _ = m.on(event{kind: signalled, signal: sig, at: now}); m.life.state != handingBack {
			t.Errorf("%v: %v", sig, m.life.state)
		}
	}
}
