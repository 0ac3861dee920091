package lease

import (
	"slices"
	"strings"
)

// The environment of a job's processes names its leases: BERTH_LEASE the one of the pool
// that was named first, and BERTH_LEASES all of them, with blanks between.

// EnvPrefix begins the names of both variables.
const EnvPrefix = "BERTH_LEASE"

// InEnv reports whether the environment of a process says that it belongs to the lease.
func InEnv(env []string, id string) bool {
	one, all := "", ""
	for _, e := range env {
		switch name, value, _ := strings.Cut(e, "="); name {
		case EnvPrefix:
			one = value
		case EnvPrefix + "S":
			all = value
		}
	}
	return slices.Contains(EnvIDs(one, all), id)
}

// EnvAdopter is the variable that names the adopter of the lease in what that has started.
const EnvAdopter = "BERTH_ADOPTER"

// InEnvBy reports whether the environment of a process says that this adopter has started it.
func InEnvBy(env []string, adopter Process) bool {
	return slices.Contains(env, EnvAdopter+"="+adopter.Key())
}

// EnvIDs are the leases that those two variables name. A process that removes or changes
// BERTH_LEASE, as a berth does that does not know BERTH_LEASES, need not do so with the other:
// that does not count then.
func EnvIDs(one, all string) []string {
	ids := strings.Fields(all)
	switch {
	case one == "":
		return nil
	case !slices.Contains(ids, one):
		return []string{one}
	}
	return ids
}
