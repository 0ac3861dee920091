package cmd

import (
	"time"

	"berth/cmd/view"
	"berth/lease"
)

// noted are settings as they are now changed, from that limit: by us, and with that
// reason. Who adds a gate to a pool that somebody has drained, or drains it once more,
// has not drained it.
func noted(own lease.Settings, was *int, reason string) lease.Settings {
	same := was == nil && own.Limit == nil || was != nil && own.Limit != nil && *was == *own.Limit
	if reason != "" || !same || own.Limit == nil && own.Reason == "" {
		own.SetBy, own.SetAt, own.Reason = view.Me(), time.Now(), reason
	}
	return own
}
