package job

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"berth/lease"
)

// Told is what a command is told besides its lease.
type Told struct {
	Store      string // where the lease is
	StoreOwner string // of that directory, if it was named
	Job        string
	Labels     map[string]string
	Deadline   time.Time // zero: none
	// SlotEnv are variables that are set to the slots of the first lease, or of Outer.
	SlotEnv []string
	Outer   *lease.Lease // of the job in whose slots a command without leases runs; nil: none
}

// Environ is the caller's environment with what the command is told of its leases, of which
// the variables of one lease describe the first. No leases: it has none of its own.
func Environ(callers []string, leases []lease.Lease, t Told) []string {
	told := map[string]string{}
	if len(leases) > 0 {
		l := leases[0]
		ids := make([]string, len(leases))
		for i := range leases {
			ids[i] = leases[i].ID
		}
		told["BERTH_POOL"] = l.Pool
		told["BERTH_SLOT"] = strconv.Itoa(l.Slots[0])
		told["BERTH_SLOTS"] = numbers(l.Slots)
		if len(l.SlotNames) > 0 {
			told["BERTH_SLOT_NAME"] = l.SlotNames[0]
			told["BERTH_SLOT_NAMES"] = strings.Join(l.SlotNames, ",")
		}
		told["BERTH_LIMIT"] = strconv.Itoa(l.InForce)
		told["BERTH_LEASE"] = l.ID
		told["BERTH_LEASES"] = strings.Join(ids, " ")
		told["BERTH_TOKEN"] = strconv.FormatUint(l.Token, 10)
		told["BERTH_STORE"] = t.Store
		if l.Adopter != nil { // shows that the command is its child, and not another one of the caller
			told[lease.EnvAdopter] = l.Adopter.Key()
		}
		if t.StoreOwner != "" {
			told["BERTH_STORE_OWNER"] = t.StoreOwner
		}
	}
	for _, name := range t.SlotEnv {
		if slots := t.slots(leases); slots != "" {
			told[name] = slots
		}
	}
	if t.Job != "" {
		told["BERTH_JOB"] = t.Job
	}
	for k, v := range t.Labels {
		told["BERTH_LABEL_"+k] = v
	}
	if !t.Deadline.IsZero() {
		told["BERTH_DEADLINE"] = strconv.FormatInt(t.Deadline.Unix(), 10)
	}
	inside := slices.ContainsFunc(callers, func(e string) bool { return strings.HasPrefix(e, "BERTH_LEASE=") && e != "BERTH_LEASE=" })
	env := slices.DeleteFunc(slices.Clone(callers), func(e string) bool {
		k, _, _ := strings.Cut(e, "=")
		_, again := told[k]
		return again || inside && (OfHook(k) || len(leases) > 0 && ofOuterLease(k)) // else such a variable is the caller's own
	})
	for _, k := range slices.Sorted(maps.Keys(told)) {
		env = append(env, k+"="+told[k])
	}
	return env
}

// slots are those that the command runs in, as --slot-env tells it: by name if they have names.
func (t Told) slots(leases []lease.Lease) string {
	l := t.Outer
	if len(leases) > 0 {
		l = &leases[0]
	}
	switch {
	case l == nil:
		return ""
	case len(l.SlotNames) > 0:
		return strings.Join(l.SlotNames, ",")
	}
	return numbers(l.Slots)
}

func numbers(slots []int) string {
	all := make([]string, len(slots))
	for i, s := range slots {
		all[i] = strconv.Itoa(s)
	}
	return strings.Join(all, ",")
}

// ofOuterLease reports whether a variable describes the lease of a berth around this one,
// which is not the command's.
func ofOuterLease(k string) bool {
	switch k {
	case "BERTH_POOL", "BERTH_SLOT", "BERTH_SLOTS", "BERTH_SLOT_NAME", "BERTH_SLOT_NAMES", "BERTH_LIMIT", "BERTH_LEASE", "BERTH_LEASES", "BERTH_TOKEN", lease.EnvAdopter, "BERTH_JOB", "BERTH_DEADLINE":
		return true
	}
	return strings.HasPrefix(k, "BERTH_LABEL_")
}

// OfHook reports whether a variable tells a hook of its event.
func OfHook(k string) bool {
	switch k {
	case "BERTH_EVENT", "BERTH_REASON", "BERTH_EXIT_CODE", "BERTH_WAITED", "BERTH_RAN":
		return true
	}
	return false
}
