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

// Tell implements lease.Store.
func (s *Store) Tell(ctx context.Context, id string, m lease.Message) (lease.Entry, error) {
	if err := m.Check(); err != nil {
		return lease.Entry{}, err
	}
	pool, err := lease.PoolOf(id)
	if err != nil {
		return lease.Entry{}, err
	}
	text := []byte{}
	if m.Kind == lease.MessageStop {
		if text, err = json.Marshal(m.Stop); err != nil {
			return lease.Entry{}, err
		}
	}
	a, _, err := s.call(ctx, pool, "tell", 0, id, string(m.Kind), string(text))
	if err != nil {
		return lease.Entry{}, retry.Cause(ctx, err)
	}
	record := answer(a.list(4))
	switch {
	case a.text(0) == "waits":
		return lease.Entry{}, fmt.Errorf("%s is still waiting: %w", id, lease.ErrNotFound)
	case a.text(3) == "holder":
		e := s.endpoint.holder(record, settings(a.text(5)), a.instant(1))
		e.Keepalive = s.clock.local(record.instant(5))
		return e, nil
	case a.text(3) == "waiter":
		return waiter(record), nil
	}
	return lease.Entry{}, fmt.Errorf("%s: %w", id, lease.ErrNotFound)
}
