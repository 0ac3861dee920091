//go:build !linux

package limiter

import "runtime"

// CPUs is how many CPUs this process may keep busy.
func CPUs() int { return runtime.NumCPU() }
