//go:build unix

package filestore

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"

	"berth/lease"
)

// settings is the content of the file limit.
type settings struct {
	Version int `json:"v"`
	// Pool and Store, the inode of the store's directory, are where they were set. A user
	// who may write in the store may also move the file into another pool, or into another
	// store of the same file system, where the file's owner has set nothing.
	Pool  string `json:"pool,omitempty"`
	Store uint64 `json:"store,omitempty"`
	lease.Settings
}

// conditionsVersion is that of a file with more than a limit in it: a berth that knows only
// limits must not ignore the rest.
const conditionsVersion = 2

// Set implements lease.Store.
func (s *Store) Set(ctx context.Context, pool string, change func(lease.Settings, error) (lease.Settings, error)) error {
	p, err := s.pool(pool, true)
	if err != nil {
		return err
	}
	defer p.close()
	return p.locked(ctx, func(*index) error {
		own, err := change(p.ownSettings())
		if err != nil {
			return err
		}
		// Before the change: the head, once awake, waits for the lock that we have. If we
		// were killed right after the change, nothing would wake it; if the change fails, the
		// head has checked in vain.
		_ = p.wakeHead(anySlot)
		if own.None() {
			return p.remove(top, "limit")
		}
		file := settings{Version: conditionsVersion, Pool: p.name, Store: p.root.st.Ino, Settings: own}
		if own.Conditions.None() {
			file.Version = lease.Version
		}
		return p.replace("limit", file)
	})
}

// anySlot is not a slot: its event makes the head check all of them.
const anySlot = ".any"

// ownSettings reads the pool's own settings, the zero value if it has none.
func (p *pool) ownSettings() (lease.Settings, error) {
	b, uid, err := p.read("limit")
	if b == nil {
		return lease.Settings{}, err
	}
	c, err := parseSettings(b)
	if err == nil && c.Pool != "" && c.Pool != p.name {
		err = fmt.Errorf("it was set for pool %q", c.Pool)
	}
	if err != nil {
		return lease.Settings{}, &fs.PathError{Op: "read", Path: p.path("limit"), Err: fmt.Errorf("%w; 'berth limit --clear %s' removes it", err, p.name)}
	}
	c.UID = uid
	if c.Pool == "" || c.Store != p.root.st.Ino {
		c.UID = -1 // by an older berth, or elsewhere: the file's owner may not have set it here
	}
	return c.Settings, nil
}

func parseSettings(b []byte) (c settings, err error) {
	var v struct {
		Version int `json:"v"`
	}
	// The version first: the fields of a newer one may differ from ours.
	if json.Unmarshal(b, &v) == nil && v.Version > conditionsVersion {
		return c, fmt.Errorf("%w (version %d)", errNewer, v.Version)
	}
	if json.Unmarshal(b, &c) != nil || c.None() || lease.CheckSlotNames(c.Names) != nil || c.Limit != nil && *c.Limit < 0 || c.MinSlots < 0 || c.Need.CPU < 0 || c.Ramp < 0 || c.Rate.Every < 0 {
		return c, errGarbage
	}
	if r := c.Rate; r.Every > 0 && r.Burst < 1 || r.Burst > 1 && (r.Burst > lease.MaxBurst || r.Every > lease.MaxEvery) {
		return c, errGarbage
	}
	return c, nil
}
