//go:build !linux

package gate

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
)

func affinity() allowed { return allowed{} }

func inode(string) uint64 { return 0 }

// loadReadable refuses Windows, where gopsutil makes up an average that begins
// at 0 in each process: a gate would be open because we have just started.
func (r roots) loadReadable() error {
	if runtime.GOOS == "windows" {
		return fmt.Errorf("load average: %w", errors.ErrUnsupported)
	}
	return nil
}

func vanished(err error) bool { return errors.Is(err, fs.ErrNotExist) }
