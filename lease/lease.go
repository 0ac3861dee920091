// Package lease is the contract between who wants slots of a pool and where
// pools live: the records, the verbs, the errors, and the one function that
// decides whether a request may start.
//
// It holds data and rules, no I/O. The stores (filestore, memstore, redisstore,
// etcdstore) implement Store and must answer alike; storetest proves it.
package lease

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"berth/lease/clock"
)

// Process names a process for good: a pid alone is reused. Which clock Start
// counts on is the business of whoever fills it in; records only compare it.
type Process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"`
	Boot  string `json:"boot,omitempty"`
	PIDNS uint64 `json:"pidns,omitempty"`
	Host  string `json:"host,omitempty"`
}

// A Request says who wants how many slots of which pool. It is plain data and
// travels unchanged into the Ticket and the Lease.
type Request struct {
	// ID is chosen by the caller (NewID), so that a step whose answer was lost
	// can be repeated without taking twice. Ticket and lease share it.
	ID   string `json:"id"`
	Pool string `json:"pool"`
	// Limit is how many slots of the pool may be in use once this request
	// runs; 0 leaves that to the pool's own limit, and if it has none to
	// Fallback (the number of CPUs).
	Limit    int `json:"limit,omitempty"`
	Fallback int `json:"fallback,omitempty"`
	Conditions
	Weight   int `json:"weight"`   // slots taken at once, from 1
	Priority int `json:"priority"` // -20..20, lower goes first

	// Key keeps the place in the line for Grace after its waiter gave up or
	// died, for whoever asks with the same key.
	Key   string        `json:"key,omitempty"`
	Grace time.Duration `json:"grace_ns,omitempty"`

	// Signal asks the job to end, and KillAfter is from then to KILL: for whoever
	// has to end it when its owner is gone.
	Signal    int           `json:"signal,omitempty"`
	KillAfter time.Duration `json:"kill_after_ns,omitempty"`

	// Timeout and IdleTimeout are after how much running time, with and without a
	// keepalive, its owner ends the job; 0: never. For people: nobody else acts on them.
	Timeout     time.Duration `json:"timeout_ns,omitempty"`
	IdleTimeout time.Duration `json:"idle_timeout_ns,omitempty"`

	// TTL is how long lease and place hold without a sign of life, in a store that
	// cannot see by itself that their owner is gone: 0 is DefaultTTL then. A store
	// may have a least one, and raises it to that.
	TTL time.Duration `json:"ttl_ns,omitempty"`

	Owner     Process           `json:"owner"`
	UID       int               `json:"uid"`
	Command   []string          `json:"command,omitempty"` // for people; may be shortened
	Labels    map[string]string `json:"labels,omitempty"`
	Heartbeat time.Duration     `json:"heartbeat_ns,omitempty"` // 0: does not beat
}

// Conditions are what must hold besides the limit before a request may start: those
// of the request itself, and on top of them those of its pool.
type Conditions struct {
	// Gates are conditions of the machine, "" none. A store keeps the words and
	// has them asked (see Gated); what they mean is known to whoever asks.
	Gates string `json:"gates,omitempty"`
	// MinSlots: with fewer slots in use these gates are not asked, and Ramp does
	// not hold.
	MinSlots int `json:"min_slots,omitempty"`
	// Ramp is the least time between two starts in the pool, whoever makes them;
	// Rate lets them come in bursts.
	Ramp time.Duration `json:"ramp_ns,omitempty"`
	Rate Pace          `json:"rate,omitzero"`
	// Need is what the job says it will use: its own word, or else its pool's.
	Need Need `json:"need,omitzero"`
}

// Need is a declared use. The gates set it aside until the job's tree uses it.
type Need struct {
	Mem uint64  `json:"mem,omitempty"` // bytes
	CPU float64 `json:"cpu,omitempty"` // CPUs
}

// Settings are what a pool asks of every caller.
type Settings struct {
	Limit *int `json:"limit,omitempty"` // nil: none, 0: nobody new
	Conditions
	// Who has set the limit, or where there is none the rest, when and why: for people.
	// Who does not know of these loses no more than the words.
	SetBy  string    `json:"set_by,omitempty"`
	SetAt  time.Time `json:"set_at,omitzero"`
	Reason string    `json:"reason,omitempty"`
	// UID is who set them, -1 when that is not known: a command of somebody
	// else's is not to be run.
	UID int `json:"-"`
}

// None reports whether the pool asks for nothing.
func (s Settings) None() bool { return s.Limit == nil && s.Conditions.None() }

// None reports whether there are no terms.
func (t Conditions) None() bool { return t == Conditions{} }

// A Report is what the last one who asked his gates leaves for others.
type Report struct {
	By   string          `json:"by"`             // the id of the request
	Why  string          `json:"why,omitempty"`  // what holds it back, for people; "" nothing
	At   clock.Instant   `json:"at_ns"`          // on the store's clock
	Data json.RawMessage `json:"data,omitempty"` // for the next who asks; of no meaning here
}

// A Ticket is a place in the line: requests are served by Priority, then Seq.
type Ticket struct {
	Version int `json:"v"`
	Request
	Seq   uint64    `json:"seq"`
	Since time.Time `json:"since"`
}

// State is what is known of a holder.
type State string

const (
	Reserved State = "reserved" // slots taken, child not started yet
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
	// RequestedLimit is the limit this lease holds the pool to while it lives; 0: none.
	RequestedLimit int       `json:"asks,omitempty"`
	State          State     `json:"state"`
	Child          *Process  `json:"child,omitempty"`
	Since          time.Time `json:"since"`
	// Start is how its own counts in the pool; a record need not have it.
	Start Start `json:"start,omitzero"`
}

// DefaultTTL is that of a request without one.
const DefaultTTL = 30 * time.Second

// SuspendedTTL is how long the lease or the place of a suspended process lasts at least: it
// writes no heartbeat.
const SuspendedTTL = time.Hour

// Version of the records this program writes. A record with a greater one is
// never changed or taken for free.
const Version = 1

// Store is where pools live. All methods may be called concurrently. Every
// method that takes a context returns soon after its end, and says below what
// is left behind then.
type Store interface {
	// TryAcquire takes r.Weight slots if that is possible now, without
	// standing in the line. With a nil Holding and a nil error the Verdict
	// says why not. An error leaves nothing behind.
	TryAcquire(ctx context.Context, r Request) (Holding, Verdict, error)

	// Line takes a place in the line: the last of its priority, or the one
	// kept for r.Key. An error leaves nothing behind.
	Line(ctx context.Context, r Request) (Place, error)

	// List describes the named pools, or all. It changes nothing, and neither
	// holders nor waiters notice.
	List(ctx context.Context, pools ...string) ([]Pool, error)

	// Summary describes one pool like List, but of its line it tells only how
	// many stand in it and which of them t is: it reads no ticket, so it costs
	// little however long the line is. Who would be passed counts, too.
	Summary(ctx context.Context, pool string, t Ticket) (Pool, error)

	// Set changes the pool's own settings: change gets those that are in force,
	// the zero value if there are none or they cannot be read (then with err),
	// and returns the new ones. It may be called again, when somebody else was
	// faster. After an error, also one of change, nothing has changed.
	Set(ctx context.Context, pool string, change func(old Settings, err error) (Settings, error)) error

	// Tell leaves a message for the holder or waiter with this id, and returns its record
	// as it was found. The owner gets it with its next Renew or TryAcquire; a waiter is
	// woken for it. ErrNotFound when there is no such record, or a waiter is told what only
	// a holder can be. After any other error the message may still arrive.
	Tell(ctx context.Context, id string, m Message) (Entry, error)

	// Clock is the present on the store's clock, which nobody can set.
	Clock() clock.Instant
}

// Place is a ticket of ours. It is for one goroutine at a time. Where places have a
// TTL, TryAcquire and Wait are its sign of life: Wait returns in time for the next.
type Place interface {
	Ticket() Ticket

	// TryAcquire takes the slots if it is this ticket's turn and there is
	// room; the place is given up with that. Else the Verdict says what it
	// waits for and the place is kept, also on an error. *StoppedError when
	// somebody asked this waiter to leave the line. After a Verdict that was
	// Gated, asked says which of its gates are open.
	TryAcquire(ctx context.Context, asked Clearance) (Holding, Verdict, error)

	// Wait returns when TryAcquire may have another answer than last time. It
	// can return too often, never too seldom (a request to stop is seen within
	// a minute; whoever leaves one wakes the waiter). The place is kept.
	Wait(ctx context.Context) error

	// Report tells others what the gates said. Only its last one is kept for a
	// pool, and a pool may lose it.
	Report(ctx context.Context, why string, data json.RawMessage) error

	// StepAside lets the others pass until Return; the place is kept. Slots that
	// were granted to it unseen are given back as Unused.
	StepAside(ctx context.Context) error
	Return(ctx context.Context) error

	// Leave gives the place up, or with a Key keeps it for Grace, and gives back
	// slots that were granted to it unseen, as Unused. When it fails, the line drops the
	// ticket by itself once this process has ended, or after its TTL.
	Leave(ctx context.Context) error
}

// Holding is a lease of ours. Its methods may be called concurrently. Where it was
// granted by somebody else while we waited, it is ours only if it hangs on a sign of
// life of ours, or was confirmed: we may have been frozen since.
type Holding interface {
	Lease() Lease

	// Running records the child. The slot then counts as taken for as long as
	// the child lives, whatever becomes of this process.
	Running(ctx context.Context, child Process) error

	// Renew writes a heartbeat and returns what others asked for. ErrLost when
	// the lease is no longer ours. From now on it holds for ttl, or with 0 for its
	// request's TTL.
	Renew(ctx context.Context, ttl time.Duration) (Inbox, error)

	// Expires is until when, on the boot clock, the lease is ours for sure if it
	// is not renewed: counted from before the last good Renew was sent. A Renew for
	// less counts as soon as it is sent, for its answer may be lost. 0: it does not
	// end by a clock.
	Expires() clock.Instant

	// Release gives the slots back and wakes the line. Twice is fine. When it
	// fails the slots are free all the same once this process is gone, or after
	// the TTL.
	Release(ctx context.Context) error

	// Unused is Release of a lease in which nothing was started: that it was granted
	// counts for no pace any more, see Starts.Undo. It counts when this fails or is
	// never called, and of one that was lost by then, if somebody has started since.
	Unused(ctx context.Context) error
}

// HeartbeatBound is a Holding that must be renewed more often than its TTL alone would need,
// because its store forgets.
type HeartbeatBound interface {
	// HeartbeatAtMost is the longest time between two heartbeats; more than 0.
	HeartbeatAtMost() time.Duration
}

// Pool is one pool as List saw it.
type Pool struct {
	Name    string   `json:"pool"`
	Own     Settings `json:"own"`    // the pool's own settings
	Report  *Report  `json:"report"` // of whoever last asked his gates; nil: nobody did
	Starts  Starts   `json:"starts"`
	Limit   *int     `json:"limit"`      // the one in force, if anybody asks for one
	LimitBy string   `json:"limit_from"` // "pool", the lease id that asks for it, or ""
	Used    int      `json:"used"`
	// RecoveringFor is for how long yet nobody new starts: see PoolState.
	RecoveringFor time.Duration `json:"recovers_ns,omitempty"`
	Holders       []Entry       `json:"holders"`
	Waiters       []Entry       `json:"waiters"`
	// Line is how many stand in the line, and Place which of them (from 1) a
	// ticket is that was asked for. Only Summary tells.
	Line  int `json:"-"`
	Place int `json:"-"`
	// First is a waiter that goes before that ticket and whose state cannot be seen
	// from here; nil: there is none, or nobody knows. Only Summary tells.
	First *Entry `json:"-"`
	// LockHeldBy is set when the pool's lock could not be had in time for a
	// look: who holds it.
	LockHeldBy string `json:"lock_held_by,omitempty"`
	Err        error  `json:"-"` // why it could not be read
}

// Entry is a holder or a waiter in a list. Exactly one of Lease and Ticket is set.
type Entry struct {
	Lease  *Lease
	Ticket *Ticket
	// HeartbeatAge is the age of the last heartbeat, negative when there is none.
	HeartbeatAge time.Duration
	// Keepalive is the holder's, as in Inbox; 0: never, or not known.
	Keepalive clock.Instant
	// Aside: a waiter that the others pass for now (stopped, or kept for its key).
	Aside bool
	// Note explains a state that needs it (why a record is damaged).
	Note string
}

var (
	// ErrNotFound: no such lease or ticket.
	ErrNotFound = errors.New("no such lease")
	// ErrLost: the lease was ours and is no longer.
	ErrLost = errors.New("lease lost")
	// ErrTooHeavy: more slots wanted at once than the limit will ever allow.
	ErrTooHeavy = errors.New("weight is greater than the limit")
)

// DamagedError says that a slot's record cannot be read and nothing proves
// that its job has ended, so the slot counts as taken.
type DamagedError struct {
	Pool, Path string
	Slot       int
	Err        error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("cannot read the record of slot %d of pool %s (%s): %v", e.Slot, e.Pool, e.Path, e.Err)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// ForeignStoreError says that a store belongs to somebody whom this user does not
// trust by itself.
type ForeignStoreError struct {
	Dir, Owner, Me string
	Default        bool // nobody named it
	Err            error
}

func (e *ForeignStoreError) Error() string { return e.Err.Error() }
func (e *ForeignStoreError) Unwrap() error { return e.Err }

// LockHeldError says that a pool's lock is held for longer than any decision
// takes.
type LockHeldError struct {
	Pool, Path string
	PID        int // 0: not known
	Frozen     bool
	Busy       bool // by nobody for long: it changes hands
}

func (e *LockHeldError) Error() string {
	if e.Busy {
		return fmt.Sprintf("the lock of pool %s (%s) changes hands among many, and our turn has not come", e.Pool, e.Path)
	}
	who := "a process that cannot be seen from here"
	if e.PID != 0 {
		who = "pid " + strconv.Itoa(e.PID)
	}
	if e.Frozen {
		who += ", which is stopped"
	}
	return fmt.Sprintf("the lock of pool %s (%s) is held by %s", e.Pool, e.Path, who)
}
