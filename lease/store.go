package lease

import (
	"context"
	"encoding/json"
	"time"

	"berth/lease/clock"
)

// Store keeps pools. All methods may be called concurrently. Every method that takes
// a context returns soon after its end, and says below what is left behind then.
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
	// many stand in it and which of them t is. It reads no ticket, so its cost does
	// not grow with the line. Waiters that the others pass for now count, too.
	Summary(ctx context.Context, pool string, t Ticket) (Pool, error)

	// Set changes the pool's own settings. change gets those in force, the zero
	// value if there are none or they cannot be read (then with err), and returns
	// the new ones. It is called again when another change came first. After an
	// error, also one of change, nothing has changed.
	Set(ctx context.Context, pool string, change func(old Settings, err error) (Settings, error)) error

	// Tell leaves a message for the holder or waiter with this id, and returns its record
	// as it was found. The owner gets it with its next Renew or TryAcquire; a waiter is
	// woken for it. ErrNotFound when there is no such record, or a waiter is told what only
	// a holder can be, or the other way round. After any other error the message may still
	// arrive. What a kept lease is told reaches its keeper and its adopter, also one that
	// adopts it later; a MessageRelease reaches only the keeper.
	Tell(ctx context.Context, id string, m Message) (Entry, error)

	// Adopt takes a kept lease for a process that runs something under it: a Holding of the
	// same lease. Its Running records the child. Its Renew keeps the lease, too: the lease
	// holds until the later of the times that the two have renewed it for. Release and Unused end
	// the adoption, and the lease is reserved again, for as long as its keeper has renewed it.
	// While it is adopted, its keeper's Release fails with *AdoptedError, and so does Adopt by
	// another process; the adopter itself may repeat a call whose answer was lost. Who knows that
	// the adopter and its child are gone may do so in its name, to release it.
	//
	// An adoption ends by itself once the adopter and its child are gone, or where leases have
	// a TTL, when the adopter has not renewed it for that long. The slots stay taken for as
	// long as an adoption lasts, whatever happens to the keeper.
	//
	// ErrNotFound when there is no such lease, ErrNotKept when its owner runs a child. An
	// error leaves nothing behind but what ends by itself.
	Adopt(ctx context.Context, id string, adopter Process) (Holding, error)

	// Watch sends when List may return something else than before, for these pools or all:
	// when a slot was taken or freed, a waiter came or left, or a setting was changed. It can
	// send too often, and is at most a minute late. It takes no place in the line, so it works
	// in a drained pool. The channel is closed when ctx has ended.
	Watch(ctx context.Context, pools ...string) (<-chan struct{}, error)

	// Clock is the present on the store's clock, which no user can set.
	Clock() clock.Instant
}

// Place is a ticket of ours. It is for one goroutine at a time. Where places have a
// TTL, TryAcquire and Wait are its heartbeats: Wait returns in time for the next.
//
// When the slots of a place get free, it depends on the store whether they are taken by
// its next TryAcquire, or are granted at once and TryAcquire only returns them. A request
// with a higher priority that comes in between is first in the one case and finds the
// pool full in the other. No other request comes before the place in either.
type Place interface {
	Ticket() Ticket

	// TryAcquire takes the slots if it is this ticket's turn and there is
	// room; the place is given up with that. Otherwise the Verdict says what it
	// waits for and the place is kept, also on an error. *StoppedError when this
	// waiter was told to leave the line. After a Verdict that was Gated, clearance says
	// which of its gates are open.
	TryAcquire(ctx context.Context, clearance Clearance) (Holding, Verdict, error)

	// Wait returns when TryAcquire may have another answer than last time, or before the
	// first TryAcquire when its answer may be another than Behind. It can return too
	// often, never too seldom (a message is seen within a minute, even if its sender
	// could not wake the waiter). The place is kept.
	Wait(ctx context.Context) error

	// Report tells others what the gates said. Only the last report is kept for a
	// pool, and a pool may lose it.
	Report(ctx context.Context, why string, data json.RawMessage) error

	// StepAside lets the others pass until Return; the place is kept. Slots that
	// were granted to it unseen are given back as Unused.
	StepAside(ctx context.Context) error
	Return(ctx context.Context) error

	// Leave gives the place up, or with a Key keeps it for Grace, and gives back
	// slots that were granted to it unseen, as Unused. When it fails, the line drops
	// the ticket by itself once this process has ended, or after its TTL.
	Leave(ctx context.Context) error
}

// Holding is a lease of ours. Its methods may be called concurrently.
//
// A grant that was made for us while we waited may have expired if we were frozen since.
// So a store returns one only if our last heartbeat covers it, or after confirming it.
type Holding interface {
	Lease() Lease

	// Running records the child. The slot then counts as taken for as long as
	// the child lives, whatever happens to this process.
	Running(ctx context.Context, child Process) error

	// Renew writes a heartbeat and returns what the holder was told. From now on the
	// lease holds for ttl; 0: for its request's TTL. ErrLost when it is no longer ours, or
	// the adoption is over.
	Renew(ctx context.Context, ttl time.Duration) (Inbox, error)

	// Expires is until when, on the boot clock, the lease is ours for sure if it
	// is not renewed. It counts from before the last good Renew was sent. A Renew for
	// less counts as soon as it is sent, for its answer may be lost. 0: it does not
	// end by a clock.
	Expires() clock.Instant

	// Release gives the slots back and wakes the line. Twice is fine. When it
	// fails, the slots are still freed once this process is gone, or after the TTL.
	// *AdoptedError when another process has adopted the lease: then nothing has changed.
	Release(ctx context.Context) error

	// Unused is Release of a lease in which nothing was started: its grant then
	// counts for no pace, see Starts.Undo. The grant counts if this fails or is
	// never called, and if the lease was lost and another job has started since.
	Unused(ctx context.Context) error
}

// HeartbeatBound is a Holding that must be renewed more often than its TTL alone would need,
// because its store forgets.
type HeartbeatBound interface {
	// HeartbeatAtMost is the longest time between two heartbeats; more than 0.
	HeartbeatAtMost() time.Duration
}
