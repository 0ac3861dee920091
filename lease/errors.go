package lease

import (
	"errors"
	"fmt"
	"strconv"
)

var (
	// ErrNotFound: there is no such lease or ticket.
	ErrNotFound = errors.New("no such lease")
	// ErrLost: the lease was ours and is no longer.
	ErrLost = errors.New("lease lost")
	// ErrNotKept: the owner of the lease runs a child of its own, so no other process can.
	ErrNotKept = errors.New("this lease belongs to a job that runs")
	// ErrTooHeavy: the request takes more slots at once than the limit will ever allow.
	ErrTooHeavy = errors.New("weight is greater than the limit")
)

// WaitsError says that the id is that of a waiter, and not of a lease. It is ErrNotFound.
func WaitsError(id string) error { return fmt.Errorf("%s is still waiting: %w", id, ErrNotFound) }

// HoldsError says that the waiter with this id has become a holder. It is ErrNotFound.
func HoldsError(id string) error { return fmt.Errorf("%s is no longer waiting: %w", id, ErrNotFound) }

// AdoptedError says that a process runs something under a kept lease.
type AdoptedError struct {
	ID      string
	Adopter Process
	Child   *Process // nil: it was not started yet
}

func (e *AdoptedError) Error() string {
	if e.Child != nil {
		return fmt.Sprintf("pid %d on %s runs under lease %s", e.Child.PID, e.Child.Host, e.ID)
	}
	return fmt.Sprintf("pid %d on %s is about to run a command under lease %s", e.Adopter.PID, e.Adopter.Host, e.ID)
}

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

// UnusableStoreError says that a directory cannot be used as a store.
type UnusableStoreError struct {
	Dir string
	Err error
}

func (e *UnusableStoreError) Error() string {
	return "cannot use store " + e.Dir + ": " + e.Err.Error()
}
func (e *UnusableStoreError) Unwrap() error { return e.Err }

// ForeignStoreError says that a store belongs to another user, whom this one does not
// trust unless told to.
type ForeignStoreError struct {
	Dir, Owner, Me string
	Default        bool // it is the default one, which the user did not name
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
	Busy       bool // no process holds it for long: it changes hands
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

// UnreachableError says that a store does not answer, or not as it should.
type UnreachableError struct {
	Store   string // without passwords
	Answers bool   // it answers, and refuses for now
	Err     error
	Hint    string // what to do about it; "": nothing is known but the address
}

func (e *UnreachableError) Error() string {
	if e.Answers {
		return "store " + e.Store + " refuses for now: " + e.Err.Error()
	}
	return "cannot reach store " + e.Store + ": " + e.Err.Error()
}
func (e *UnreachableError) Unwrap() error { return e.Err }

// RefusedError says that a store cannot be used as it was named, and that waiting does
// not change that: a person has to.
type RefusedError struct {
	Store string // without passwords
	Err   error
	Hint  string // what to do about it; "": nothing is known
}

func (e *RefusedError) Error() string { return "cannot use store " + e.Store + ": " + e.Err.Error() }
func (e *RefusedError) Unwrap() error { return e.Err }

// HintOf is what to do about a store that err says cannot be used; "": nothing is known.
func HintOf(err error) string {
	var out *UnreachableError
	var refused *RefusedError
	switch {
	case errors.As(err, &out):
		return out.Hint
	case errors.As(err, &refused):
		return refused.Hint
	}
	return ""
}
