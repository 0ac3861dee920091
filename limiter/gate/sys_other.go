//go:build !linux

package gate

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"time"
)

// uptime is the time of day: what else all processes share differs from system
// to system. A step makes a sample stale or of the future, and the CPU times
// are measured against each other, not against this clock.
func uptime() time.Duration { return time.Duration(time.Now().UnixNano()) }

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
