package limiter

import (
	"errors"
	"fmt"
	"time"

	"berth/lease"
)

// BusyError says that a request did not get its slots in the time allowed.
type BusyError struct {
	Pool    string
	Verdict lease.Verdict // the last one
	Kept    bool          // the place in the line is kept for the request's key
	Err     error         // what took the time, if it was not the line
}

func (e *BusyError) Error() string {
	var held *lease.LockHeldError
	if errors.As(e.Err, &held) {
		return fmt.Sprintf("no slot in pool %s: %v", e.Pool, held)
	}
	if e.Verdict.Reason == "" && e.Err != nil { // nothing was decided yet
		return fmt.Sprintf("no slot in pool %s: %v", e.Pool, e.Err)
	}
	return fmt.Sprintf("no slot in pool %s: %s", e.Pool, e.Verdict)
}

func (e *BusyError) Unwrap() error { return e.Err }

// Possible is *TooHeavyError if r can never start in a pool with these settings.
func Possible(r lease.Request, own lease.Settings) error {
	return refuse(r, lease.Decide(lease.PoolState{Own: own}, r, lease.Clearance{}))
}

// refuse returns an error for a verdict that no wait will change.
func refuse(r lease.Request, v lease.Verdict) error {
	if v.Reason == lease.TooHeavy {
		e := &TooHeavyError{Pool: r.Pool, Weight: r.Weight, Limit: r.LimitIn(v.Own.Limit), Requested: r.Limit > 0}
		if own := v.Own.Limit; own != nil && r.Weight > *own {
			e.Own, e.Requested, e.Limit, e.Named = true, false, *own, len(v.Own.Names) > 0
		}
		return e
	}
	return nil
}

// TooHeavyError says that a request wants more slots at once than it could ever get. It
// is lease.ErrTooHeavy.
type TooHeavyError struct {
	Pool          string
	Weight, Limit int
	Own           bool // the limit is the pool's own
	Named         bool // and its slots have names
	Requested     bool // the limit is the request's; neither: its Fallback
}

func (e *TooHeavyError) Error() string {
	switch {
	case e.Own:
		return fmt.Sprintf("weight %d is more than pool %s's own limit of %d", e.Weight, e.Pool, e.Limit)
	case e.Requested:
		return fmt.Sprintf("weight %d is more than the limit of %d it was given", e.Weight, e.Limit)
	}
	return fmt.Sprintf("weight %d is more than the %d CPUs, which are the limit while neither pool %s nor the request has one", e.Weight, e.Limit, e.Pool)
}

func (e *TooHeavyError) Unwrap() error { return lease.ErrTooHeavy }

// LostError says that the lease of a pool's job is lost. It is lease.ErrLost.
type LostError struct {
	Pool string
	Err  error
}

func (s *Session) lostError(err error) error { return &LostError{s.h.Lease().Pool, err} }

func (e *LostError) Error() string { return fmt.Sprintf("pool %s: %v", e.Pool, e.Err) }
func (e *LostError) Unwrap() error { return e.Err }

// ExpiringError says that a lease could not be renewed and is given up. It is
// lease.ErrLost.
type ExpiringError struct {
	Left time.Duration // until the lease ends; negative: it may have ended so long ago
	Err  error         // of the last try; nil: none ended in time
}

func (e *ExpiringError) Error() string {
	msg := fmt.Sprintf("the lease could not be renewed, and ends in %v", e.Left.Round(time.Millisecond))
	if e.Left <= 0 {
		msg = fmt.Sprintf("the lease could not be renewed, and ended up to %v ago", -e.Left.Round(time.Millisecond))
	}
	if e.Err != nil {
		msg += ": " + e.Err.Error()
	}
	return msg
}

func (e *ExpiringError) Is(target error) bool { return target == lease.ErrLost }
func (e *ExpiringError) Unwrap() error        { return e.Err }
