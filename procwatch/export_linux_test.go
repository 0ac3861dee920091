package procwatch

// Busy says whether a reaper runs.
func Busy() bool { return busy.Load() }
