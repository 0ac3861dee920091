//go:build unix

package filestore

import (
	"context"
	"encoding/json"

	"berth/lease"
)

// Report implements lease.Place.
func (t *place) Report(ctx context.Context, why string, data json.RawMessage) error {
	return t.pool.locked(ctx, func(*index) error {
		return t.pool.replace("report", lease.Report{By: t.ticket.ID, Why: why, At: t.pool.s.Clock(), Data: data})
	})
}

// report is what the last waiter left that asked its gates, nil if there is none.
func (p *pool) report() *lease.Report {
	b, _, err := p.read("report")
	r := &lease.Report{}
	// An instant that this boot has not reached is one of an earlier boot.
	if b == nil || err != nil || json.Unmarshal(b, r) != nil || r.At > p.s.Clock() {
		return nil
	}
	return r
}
