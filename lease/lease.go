// Package lease is the contract between processes that want slots of a pool and the stores
// that keep pools: the records, the verbs, the errors, and the one function that decides
// whether a request may start.
//
// It holds data and rules, no I/O. The stores (filestore, memstore, redisstore,
// etcdstore) implement Store and must answer alike; storetest proves it.
package lease

import (
	"cmp"
	"fmt"
	"time"
)

// Process identifies a process for good, where a pid alone is reused. The package that
// fills in Start chooses its clock; records only compare it.
type Process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"`
	Boot  string `json:"boot,omitempty"`
	PIDNS uint64 `json:"pidns,omitempty"`
	Host  string `json:"host,omitempty"`
}

// Key names a process among those of its machine, for the environment of what it starts.
func (p Process) Key() string { return fmt.Sprintf("%d.%d", p.PID, p.Start) }

// A Request says how many slots of which pool a process wants. It is plain data and
// goes unchanged into the Ticket and the Lease.
type Request struct {
	// ID is chosen by the caller (NewID), so that a step whose answer was lost
	// can be repeated without taking twice. Ticket and lease share it.
	ID   string `json:"id"`
	Pool string `json:"pool"`
	// Limit is how many slots of the pool may be in use once this request
	// runs. 0 leaves that to the pool's own limit, and in a pool without one to
	// Fallback (the number of CPUs).
	Limit    int `json:"limit,omitempty"`
	Fallback int `json:"fallback,omitempty"`
	Conditions
	Weight   int `json:"weight"`   // slots taken at once, from 1
	Priority int `json:"priority"` // -20..20, lower goes first

	// Key keeps the place in the line for Grace after its waiter gave up or
	// died, for a later request with the same key.
	Key   string        `json:"key,omitempty"`
	Grace time.Duration `json:"grace_ns,omitempty"`

	// Signal ends the job, and KillAfter is the time from it to KILL: for the
	// processes that end the job when its owner is gone.
	Signal    int           `json:"signal,omitempty"`
	KillAfter time.Duration `json:"kill_after_ns,omitempty"`

	// Timeout and IdleTimeout are the running time, and that without a keepalive,
	// after which the owner ends the job; 0: never. For people: no other process acts on them.
	Timeout     time.Duration `json:"timeout_ns,omitempty"`
	IdleTimeout time.Duration `json:"idle_timeout_ns,omitempty"`

	// TTL is how long lease and place hold without a heartbeat, in a store that
	// cannot see by itself that their owner is gone; 0 means DefaultTTL there. A store
	// with a minimum raises it to that.
	TTL time.Duration `json:"ttl_ns,omitempty"`

	// Job names what this is a run of; "": nothing. Requests of the same job can replace
	// (holders) or supersede (waiters) one another.
	Job string `json:"job,omitempty"`
	// Supersedes: as a waiter it sends away those of its job that come before it, see
	// Ticket.CameBefore. One that finds such a waiter after itself leaves.
	Supersedes bool `json:"supersedes,omitempty"`

	// Together are the ids of all requests of one job that takes slots of several pools, this
	// one among them, in the order in which the pools were named. It takes them in the order
	// of the pools' names, and holds the earlier ones while it waits. nil: only this one.
	Together []string `json:"together,omitempty"`
	// Inside are the ids of the jobs that this one is a part of, as far as it knows: none of
	// them ends before it. For people and for finding circular waits.
	Inside []string `json:"inside,omitempty"`

	// Kept: the owner runs no child. It keeps the lease for others, see Store.Adopt.
	Kept bool `json:"kept,omitempty"`
	// Tied is the process that a kept lease is for: it ends with that process. nil: none.
	Tied *Process `json:"tied,omitempty"`

	Owner     Process           `json:"owner"`
	UID       int               `json:"uid"`
	Command   []string          `json:"command,omitempty"` // for people; may be shortened
	Labels    map[string]string `json:"labels,omitempty"`
	Heartbeat time.Duration     `json:"heartbeat_ns,omitempty"` // between two; 0: there are none
}

// A Ticket is a place in the line: requests are served by Priority, then Seq.
type Ticket struct {
	Version int `json:"v"`
	Request
	Seq   uint64    `json:"seq"`
	Since time.Time `json:"since"`
}

// CameBefore reports whether t is older than the other ticket of its pool, whatever their
// priorities are. Two that came at the same moment may have the same Seq.
func (t Ticket) CameBefore(other Ticket) bool {
	return cmp.Or(cmp.Compare(t.Seq, other.Seq), cmp.Compare(t.ID, other.ID)) < 0
}

// State is what is known of a holder.
type State string

const (
	Reserved State = "reserved" // slots taken, and no child runs: not yet, or not now (Request.Kept)
	Running  State = "running"
	Orphaned State = "orphaned" // its berth is gone, its child still runs
	Stalled  State = "stalled"  // heartbeats are missing; the slot stays taken
	Damaged  State = "damaged"  // its record cannot be read; the slot stays taken
)

// A Lease is the record of a holder.
type Lease struct {
	Version int `json:"v"`
	Request
	Slots   []int  `json:"slots"`
	Token   uint64 `json:"token"`    // fencing number: grows with every grant in the pool
	InForce int    `json:"in_force"` // the limit in force when it was granted
	// RequestedLimit holds the pool to this limit while the lease lives; 0: it does not.
	RequestedLimit int      `json:"asks,omitempty"`
	State          State    `json:"state"`
	Child          *Process `json:"child,omitempty"`
	// Adopter is the process that runs Child under a kept lease, see Store.Adopt; nil: none.
	Adopter *Process `json:"adopter,omitempty"`
	// SlotNames are the names of Slots in a pool that names its slots, else nil.
	SlotNames []string  `json:"slot_names,omitempty"`
	Since     time.Time `json:"since"`
	// Start is its own start among those of the pool; a record need not have it.
	Start Start `json:"start,omitzero"`
}

// Check reports a record that no berth would write. Anyone who can write to the store may
// have forged it. States found by checking processes (orphaned, stalled) are never recorded:
// a forged "orphaned" would let another user's 'berth stop' end the job.
func (l *Lease) Check() error {
	if l.State != Reserved && l.State != Running {
		return fmt.Errorf("its state is %q, and not one that is recorded", l.State)
	}
	return nil
}

// DefaultTTL is that of a request without one.
const DefaultTTL = 30 * time.Second

// SuspendedTTL is how long the lease or the place of a suspended process lasts at least: it
// writes no heartbeat.
const SuspendedTTL = time.Hour

// Version of the records this program writes. A record with a greater one is
// never changed or taken for free.
const Version = 1
