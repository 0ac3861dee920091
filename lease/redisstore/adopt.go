package redisstore

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"berth/lease"
	"berth/lease/clock"
	"berth/lease/retry"
)

// Adopt implements lease.Store. It is tried through the recovery hold-off: an adopter that the
// server has forgotten may still run.
func (s *Store) Adopt(ctx context.Context, id string, adopter lease.Process) (lease.Holding, error) {
	pool, err := lease.PoolOf(id)
	if err != nil {
		return nil, err
	}
	by, err := json.Marshal(adopter)
	if err != nil {
		return nil, err
	}
	key, unsure := rand.Text(), false
	var a answer
	var sent clock.Instant
	err = s.sure(ctx, func(ctx context.Context) (err error) {
		if a, sent, err = s.confirm(ctx, pool, "adopt", 0, id, key, string(by)); err != nil {
			unsure = true
			return err
		}
		return s.recovers(a, 3)
	})
	if err == nil {
		err = refusal(id, a)
	}
	if err != nil {
		if unsure {
			s.disown(ctx, pool, id, key)
		}
		return nil, err
	}
	return s.adoption(a, key, adopter, sent, unsure)
}

// recovers is the error of a step whose answer says at i for how much longer the server may have
// forgotten what it was asked about; nil: it knows all.
func (s *Store) recovers(a answer, i int) error {
	left := a.micros(i)
	if a.text(0) != "recovers" && a.text(0) != "none" || left == 0 {
		return nil
	}
	return &lease.UnreachableError{Store: s.name, Answers: true, Err: fmt.Errorf(
		"it is new or was restarted, and for %v more it %w this lease, or who runs under it", left.Round(time.Millisecond), errForgotten)}
}

var errForgotten = errors.New("may have forgotten")

// sure repeats a step that is about one lease, until ctx ends, while the server may have forgotten
// that lease: the hold-off ends by itself. Nobody knows of an outage when it ends, so a server that
// has never answered is tried once, and another for outageFor.
func (s *Store) sure(ctx context.Context, f func(context.Context) error) error {
	answered := clock.Now()
	var outage error
	err := s.retry(ctx, func(ctx context.Context) error {
		err := f(ctx)
		switch away := errors.As(err, new(*lease.UnreachableError)); {
		case !away, errors.Is(err, errForgotten):
			answered = clock.Now()
		case !s.clock.hasAnswered(), clock.Now().Sub(answered) > outageFor:
			outage = err
			return errOutage
		}
		return err
	})
	if errors.Is(err, errOutage) {
		return retry.Cause(ctx, outage)
	}
	return err
}

// outageFor is how long a command that is about one lease waits for a server to come back.
const outageFor = 8 * time.Second

var errOutage = errors.New("it is not waited for")

// refusal is why a lease was not adopted, nil if it was.
func refusal(id string, a answer) error {
	switch a.text(0) {
	case "ok":
		return nil
	case "adopted":
		return adopted(id, a)
	case "not kept":
		return fmt.Errorf("%s: %w", id, lease.ErrNotKept)
	case "waits":
		return lease.WaitsError(id)
	case "unreadable":
		return fmt.Errorf("the record of %s cannot be read until its keeper has written it again", id)
	}
	return fmt.Errorf("%s: %w", id, lease.ErrNotFound)
}

// adopted reads who has adopted a lease.
func adopted(id string, a answer) error {
	e := &lease.AdoptedError{ID: id, Child: process(a.text(4))}
	if by := process(a.text(3)); by != nil {
		e.Adopter = *by
	}
	return e
}

// adoption makes a holding of an adopted lease: its request, record, the settings of its pool, and
// the names of its slots.
func (s *Store) adoption(a answer, key string, adopter lease.Process, sent clock.Instant, unsure bool) (lease.Holding, error) {
	var r lease.Request
	if err := json.Unmarshal([]byte(a.text(3)), &r); err != nil {
		return nil, fmt.Errorf("cannot read the request of a kept lease: %w", err)
	}
	f := append(strings.Fields(a.text(4)), "", "", "", "", "", "", "", "", "")
	l, err := leaseOf(r, settings(a.text(5)), f[5], f[6], f[7], f[8])
	if err != nil {
		return nil, err
	}
	l.Adopter, l.SlotNames = &adopter, slotNames(a.text(6))
	return &holding{s: s, own: r, key: key, since: f[7], lease: l, run: a.text(2), expires: sent.Add(r.TTL), unsure: unsure}, nil
}

// recordWithin is for how long an adopter waits until the server knows of its child. Others that
// want to adopt the lease, or give it back, are told of the child.
const recordWithin = time.Second

// recordNow tells the server of the child, and waits for that a little.
func (h *holding) recordNow(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.recordChild()
	}()
	select {
	case <-done:
	case <-time.After(recordWithin):
	case <-ctx.Done():
	}
}

// readopt registers an adoption again, and its lease, if the server has forgotten that, too.
func (h *holding) readopt(ctx context.Context, ttl time.Duration, ofLease []any) (answer, clock.Instant, error) {
	by, err := json.Marshal(h.Lease().Adopter)
	if err != nil {
		return nil, 0, err
	}
	return h.s.confirm(ctx, h.own.Pool, "readopt", ttl, append([]any{h.key, string(by)}, ofLease...)...)
}

// disown takes back what an Adopt may have done whose answer was lost. Like undo, it has the server
// refuse that step if it may still arrive.
func (s *Store) disown(ctx context.Context, pool, id, key string) {
	gone := flag(cancelled(ctx))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timings.Undo)
	defer cancel()
	_, _, _ = s.call(ctx, pool, "disown", 0, id, key, gone)
}

// notDisowned is the error of the Release of an adoption that failed.
func notDisowned(l lease.Lease, err error) error {
	return fmt.Errorf("cannot hand lease %s back to its keeper, which has it again when this adoption has ended: %w", l.ID, err)
}
