package cmd

import (
	"errors"
	"fmt"
	"os"

	"berth/cmd/storename"
)

// openStore fails here: a slot is a flock(2) that the child inherits, and
// Windows has locks of another kind, which end with the handle of one process.
func openStore(storename.Spec, bool, *speaker) (*store, error) {
	return nil, fmt.Errorf("berth does not run on Windows: a shared directory of slots needs flock(2): %w", errors.ErrUnsupported)
}

func lockFile(*os.File) (func(), error) { return nil, errors.ErrUnsupported }
