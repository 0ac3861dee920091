package redisstore

import (
	"time"

	"berth/lease"
)

var _ lease.HeartbeatBound = (*holding)(nil)

// HeartbeatAtMost implements lease.HeartbeatBound. A server that has forgotten its holders
// lets nobody start for Recover. A holder of any TTL has to be heard of by then, and has
// the second half for a heartbeat that is late or fails.
func (h *holding) HeartbeatAtMost() time.Duration { return h.s.timings.Recover / 2 }
