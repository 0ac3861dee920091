package stopping

import (
	"context"
	"time"

	"berth/lease"
	"berth/procwatch"
)

// EndAdoption ends, on a server, the adoption of a lease by a process that was killed, as its
// child was: it would last for its TTL. It reports whether it has. If both are not known to be
// gone, or the lease has another adopter by now, nothing changes.
func EndAdoption(ctx context.Context, st Store, id string, adopter, child *lease.Process) bool {
	if !st.Remote || adopter == nil || child == nil || !isGone(*adopter) || !isGone(*child) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, endTime)
	defer cancel()
	h, err := st.Adopt(ctx, id, *adopter)
	return err == nil && h.Release(ctx) == nil
}

// endTime bounds that: a server may be out of reach.
const endTime = 5 * time.Second

func isGone(p lease.Process) bool { return procwatch.ID(p).State() == procwatch.Gone }
