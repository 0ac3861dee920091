package words

import (
	"fmt"

	"berth/lease"
)

// NotFoundError is an error that is a lease.ErrNotFound with a message of its own.
type NotFoundError string

func (e NotFoundError) Error() string { return string(e) }

func (e NotFoundError) Is(target error) bool { return target == lease.ErrNotFound }

// PoolNamedError says that a word which should name a lease is the name of a pool.
type PoolNamedError struct{ Pool string }

func (e *PoolNamedError) Error() string { return fmt.Sprintf("%q is a pool, not a lease", e.Pool) }

func (e *PoolNamedError) Unwrap() error { return NotFoundError(e.Error()) }
