package redisstore

import (
	"time"

	"berth/lease"
)

var _ lease.HeartbeatBound = (*holding)(nil)

// HeartbeatAtMost implements lease.HeartbeatBound. A server that has forgotten a holder has to
// learn of it within the recovery hold-off, whatever its TTL. The second half of that time is
// for a heartbeat that is late or fails.
func (h *holding) HeartbeatAtMost() time.Duration { return h.s.timings.Recover / 2 }
