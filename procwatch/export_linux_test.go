package procwatch

// Busy says whether a reaper runs.
func Busy() bool { return busy.Load() }

// PollGone is Gone without a pidfd.
func PollGone(id ID) (<-chan struct{}, error) { return id.poll() }
