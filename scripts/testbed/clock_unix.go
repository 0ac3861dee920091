//go:build unix

package testbed

import "golang.org/x/sys/unix"

// Monotonic is a clock in nanoseconds that all processes share and that cannot be set.
func Monotonic() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}
