//go:build unix && !linux

package filestore

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// bootClock does not stand still here during suspend as it does on Linux; it
// never jumps either, and that is what it is needed for.
func bootClock() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return time.Duration(ts.Nano())
}

func flockOwner(*os.File) int { return 0 }
func holdsFlock(int) bool     { return false }
func networkFS(string) string { return "" }
func checkMount(string) error { return nil }
