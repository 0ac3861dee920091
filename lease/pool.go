package lease

import (
	"encoding/json"
	"time"

	"berth/lease/clock"
)

// Pool is one pool as List saw it.
type Pool struct {
	Name    string   `json:"pool"`
	Own     Settings `json:"own"`    // the pool's own settings
	Report  *Report  `json:"report"` // of the last waiter that asked its gates; nil: none
	Starts  Starts   `json:"starts"`
	Limit   *int     `json:"limit"`      // the one in force; nil: there is none
	LimitBy string   `json:"limit_from"` // "pool", the id of the lease that requests it, or ""
	Used    int      `json:"used"`
	// RecoveringFor is that of PoolState.
	RecoveringFor time.Duration `json:"recovers_ns,omitempty"`
	Holders       []Entry       `json:"holders"`
	Waiters       []Entry       `json:"waiters"`
	// Line is how many stand in the line, and Place which of them (from 1) the
	// ticket in question is. Only Summary tells.
	Line  int `json:"-"`
	Place int `json:"-"`
	// First is a waiter that goes before that ticket and whose state cannot be seen
	// from here; nil: there is none, or it is not known. Only Summary tells.
	First *Entry `json:"-"`
	// LockHeldBy is set when the pool's lock could not be had in time: its holder.
	LockHeldBy string `json:"lock_held_by,omitempty"`
	Err        error  `json:"-"` // why the pool could not be read
	// Dir is where a store in a directory keeps the pool. A pool that exists and has another
	// one later is not the same: jobs of the first may run that the second knows nothing of.
	Dir Dir `json:"-"`
}

// Dir is a directory and not only its name. The zero value: there is none.
type Dir struct {
	Path string
	ID   string // another directory has another, while this one is watched
}

// Entry is a holder or a waiter in a list. Exactly one of Lease and Ticket is set.
type Entry struct {
	Lease  *Lease
	Ticket *Ticket
	// HeartbeatAge is the age of the last heartbeat, negative when there is none.
	HeartbeatAge time.Duration
	// Keepalive is the holder's, as in Inbox; 0: never, or not known.
	Keepalive clock.Instant
	// Aside: a waiter that the others pass for now (suspended, or kept for its key).
	Aside bool
	// KeepaliveNote is what the last keepalive with a note said of the job; "": none did.
	KeepaliveNote string
	// Note explains a state that needs it, as why a record is damaged.
	Note string
}

// ID is the id of the holder or the waiter, "" for a record that cannot be read.
func (e Entry) ID() string {
	if e.Lease != nil {
		return e.Lease.ID
	}
	return e.Ticket.ID
}

// Request is what the holder or the waiter requested.
func (e Entry) Request() *Request {
	if e.Lease != nil {
		return &e.Lease.Request
	}
	return &e.Ticket.Request
}

// A Report is what the last waiter that asked its gates leaves for others.
type Report struct {
	By   string          `json:"by"`             // the id of the request
	Why  string          `json:"why,omitempty"`  // what holds it back, for people; "": nothing
	At   clock.Instant   `json:"at_ns"`          // on the store's clock
	Data json.RawMessage `json:"data,omitempty"` // for the next one that asks; without a meaning here
}
