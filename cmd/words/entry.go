package words

import "berth/lease"

func entriesOf(pools []lease.Pool) (all []lease.Entry) {
	for _, p := range pools {
		all = append(append(all, p.Waiters...), p.Holders...)
	}
	return all
}

func hasLabels(e lease.Entry, labels map[string]string) bool {
	has := e.Request().Labels
	for k, v := range labels {
		if got, ok := has[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// MayNotExist reports whether nothing shows that the pool exists: it may have been listed only
// because it was named.
func MayNotExist(p lease.Pool) bool {
	return p.Err == nil && p.LockHeldBy == "" && len(p.Holders)+len(p.Waiters) == 0 && p.Own.None() && p.Starts.Last == 0
}
