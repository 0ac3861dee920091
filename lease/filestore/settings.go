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
	// Pool and Store, the inode of its directory, are where they were set. Who may
	// writeTicket in the store may also move the file: into another pool, or another store
	// of the same file system, where its owner has set nothing.
	Pool  string `json:"pool,omitempty"`
	Store uint64 `json:"store,omitempty"`
	lease.Settings
}

// termsVersion is that of a file with more than a limit in it: who knows of
// nothing else must not take the limit for all there is.
const termsVersion = 2

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
		// Now: the head, once awake, waits for the lock that we have. Killed after
		// the change, we could not wake it, and if this fails it has looked in vain.
		_ = p.wakeHead(anySlot)
		switch {
		case own.None():
			return p.remove(top, "limit")
		}
		file := settings{Version: termsVersion, Pool: p.name, Store: p.root.st.Ino, Settings: own}
		if own.Conditions.None() {
			file.Version = lease.Version
		}
		return p.replace("limit", file)
	})
}

// anySlot is no slot: an event of it has the head look at all of them.
const anySlot = ".any"

// ownSettings reads the pool's own settings; the zero value: it has none.
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
		c.UID = -1 // by an older berth, or elsewhere: its owner may have meant something else
	}
	return c.Settings, nil
}

func parseSettings(b []byte) (c settings, err error) {
	var v struct {
		Version int `json:"v"`
	}
	// The version first: what a newer one says need not fit our fields.
	if json.Unmarshal(b, &v) == nil && v.Version > termsVersion {
		return c, fmt.Errorf("%w (version %d)", errNewer, v.Version)
	}
	if json.Unmarshal(b, &c) != nil || c.None() || c.Limit != nil && *c.Limit < 0 || c.MinSlots < 0 || c.Need.CPU < 0 || c.Ramp < 0 || c.Rate.Every < 0 {
		return c, errGarbage
	}
	if r := c.Rate; r.Every > 0 && r.Burst < 1 || r.Burst > 1 && (r.Burst > lease.MaxBurst || r.Every > lease.MaxEvery) {
		return c, errGarbage
	}
	return c, nil
}
