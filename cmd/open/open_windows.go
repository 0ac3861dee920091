package open

import (
	"errors"
	"fmt"

	"berth/cmd/storename"
)

// DefaultDir is "": there is no default store.
func DefaultDir() string { return "" }

// TryLock fails.
func TryLock(string) (bool, error) { return false, errors.ErrUnsupported }

// Open fails: a slot is a flock(2) that the child inherits, and Windows has locks of
// another kind, which end with the handle of one process.
func Open(storename.Spec, Options) (*Store, error) {
	return nil, fmt.Errorf("berth does not run on Windows: a shared directory of slots needs flock(2): %w", errors.ErrUnsupported)
}
