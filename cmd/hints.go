package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"berth/cmd/text"
	"berth/lease"
	"berth/limiter"
)

// storeHint is what to do about a store in a directory that the system does not let us
// use, "" if err is not about that.
func storeHint(err error) string {
	var at *fs.PathError
	known := errors.As(err, &at)
	dir := ""
	if known {
		dir = text.Quoted([]string{filepath.Dir(at.Path)})[0]
	}
	switch {
	case !known:
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Sprintf("df -h %s; df -i %s", dir, dir)
	case errors.Is(err, syscall.EDQUOT):
		return "quota -s; --store or BERTH_STORE names a directory elsewhere"
	case errors.Is(err, syscall.EROFS):
		return "name a directory that can be written with --store or BERTH_STORE"
	case errors.Is(err, fs.ErrPermission) && at.Op != "use store":
		return fmt.Sprintf("ls -ld %s; --store or BERTH_STORE names another directory", dir)
	}
	if errors.Is(err, fs.ErrPermission) {
		return "name a directory of yours with --store or BERTH_STORE"
	}
	return ""
}

// outageHint is what to do about a server that cannot be reached or cannot do it now, ""
// when there is nothing but to wait.
func outageHint(e *lease.UnreachableError) string {
	if e.Hint == "" && !e.Answers {
		return "is the server there, and reachable from here? --store or BERTH_STORE names it"
	}
	return e.Hint
}

// trouble says that a store is out of reach and is tried again: the first time with what
// to do about it, for the caller may have mistyped its address, and waits for ever.
func (s *speaker) trouble(err error) {
	s.notef("%v; trying again", err)
	var out *lease.UnreachableError
	if s.quiet || !errors.As(err, &out) {
		return
	}
	s.hinted.Do(func() { s.advise(outageHint(out)) })
}

// advise gives a hint, if there is one.
func (s *speaker) advise(hint string) {
	if hint != "" {
		s.hintf("%s", hint)
	}
}

// heldHint is what to do about a pool's lock that is not given back: no berth has it
// for longer than a moment, unless it is stopped.
func heldHint(e *lease.LockHeldError) string {
	switch {
	case e.Frozen:
		return fmt.Sprintf("kill -CONT %d", e.PID)
	case e.PID != 0:
		return fmt.Sprintf("ps -fp %d shows what that is; it goes on when that ends", e.PID)
	}
	return fmt.Sprintf("as root, on each machine and in each container that has the store: fuser -v %s", text.Quoted([]string{e.Path})[0])
}

// heavyHint tells where the limit comes from that a weight is over.
func heavyHint(e *limiter.TooHeavyError) string {
	switch {
	case e.Own:
		return fmt.Sprintf("a smaller --weight, or for all callers: berth limit %s %d", e.Pool, e.Weight)
	case e.Asked:
		return fmt.Sprintf("a smaller --weight, or -n %d", e.Weight)
	}
	return fmt.Sprintf("a smaller --weight, or -n %d, or for all callers: berth limit %s %d", e.Weight, e.Pool, e.Weight)
}
