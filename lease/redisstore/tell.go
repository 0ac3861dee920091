package redisstore

import (
	"context"
	"encoding/json"
	"fmt"

	"berth/lease"
	"berth/lease/retry"
)

// Set implements lease.Store.
func (s *Store) Set(ctx context.Context, pool string, change func(lease.Settings, error) (lease.Settings, error)) error {
	if err := lease.CheckPool(pool); err != nil {
		return err
	}
	a, _, err := s.call(ctx, pool, "summary", 0, "")
	if err != nil {
		return retry.Cause(ctx, err)
	}
	for old := a.text(3); ; old = a.text(3) {
		var now lease.Settings
		var rerr error
		if old != "" {
			rerr = json.Unmarshal([]byte(old), &now)
		}
		now.UID = -1
		new, err := change(now, rerr)
		if err != nil {
			return err
		}
		text := ""
		if !new.None() {
			b, err := json.Marshal(new)
			if err != nil {
				return err
			}
			text = string(b)
		}
		a, _, err = s.call(ctx, pool, "set", 0, pool, old, text)
		if err != nil {
			return retry.Cause(ctx, err)
		}
		if a.text(0) == "ok" {
			return nil
		}
	}
}

// tell leaves a message. A lease that the server may have forgotten is waited for if it is to
// be released: nobody says so twice of one that is not there.
func (s *Store) tell(ctx context.Context, pool, id string, m lease.Message, text string) (a answer, err error) {
	if m.Kind != lease.MessageRelease {
		a, _, err = s.call(ctx, pool, "tell", 0, id, string(m.Kind), text, m.Note)
		return a, err
	}
	err = s.sure(ctx, func(ctx context.Context) (err error) {
		if a, _, err = s.call(ctx, pool, "tell", 0, id, string(m.Kind), text, m.Note); err == nil {
			err = s.recovers(a, 3)
		}
		return err
	})
	return a, err
}

// Tell implements lease.Store.
func (s *Store) Tell(ctx context.Context, id string, m lease.Message) (lease.Entry, error) {
	if err := m.Check(); err != nil {
		return lease.Entry{}, err
	}
	pool, err := lease.PoolOf(id)
	if err != nil {
		return lease.Entry{}, err
	}
	text := []byte("1")
	if m.Kind == lease.MessageStop || m.Kind == lease.MessageSupersede {
		if text, err = json.Marshal(m.Stop); err != nil {
			return lease.Entry{}, err
		}
	}
	a, err := s.tell(ctx, pool, id, m, string(text))
	if err != nil {
		return lease.Entry{}, retry.Cause(ctx, err)
	}
	record := answer(a.list(4))
	switch {
	case a.text(0) == "not for a waiter":
		return lease.Entry{}, lease.WaitsError(id)
	case a.text(0) == "not for a holder":
		return lease.Entry{}, lease.HoldsError(id)
	case a.text(3) == "holder":
		return s.holder(record, settings(a.text(5)), a.instant(1)), nil
	case a.text(3) == "waiter":
		return waiter(record), nil
	}
	return lease.Entry{}, fmt.Errorf("%s: %w", id, lease.ErrNotFound)
}
