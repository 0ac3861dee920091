package stopping

import (
	"context"
	"time"

	"berth/lease"
	"berth/procwatch"
)

// EndAdoption ends, on a server, the adoption of a lease whose adopter and child were killed on
// this machine, since it was booted. Otherwise it would last for its TTL. It reports whether it
// has. Nothing changes if one of them may live, if something runs that the adopter has started,
// or if the lease has another adopter by now.
func EndAdoption(ctx context.Context, st Store, id string, adopter, child *lease.Process) bool {
	if !st.Remote || adopter == nil || child == nil || !st.wasHere(*adopter) || !st.wasHere(*child) {
		return false
	}
	if _, left := procwatch.StartedWith(lease.EnvAdopter, func(env []string) bool { return lease.InEnvBy(env, *adopter) }); left {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, endTime)
	defer cancel()
	h, err := st.Adopt(ctx, id, *adopter)
	return err == nil && h.Release(ctx) == nil
}

// endTime is how long EndAdoption may take: a server may be out of reach.
const endTime = 5 * time.Second

// wasHere reports whether a process has ended that ran where this one runs. Another machine may
// have the same name, and an earlier boot looks like one.
func (st Store) wasHere(p lease.Process) bool {
	return p.Boot != "" && p.Boot == st.Self.Boot && p.PIDNS == st.Self.PIDNS && procwatch.ID(p).State() == procwatch.Gone
}
