package gate

// Sample is the CPU counters of a moment.
type Sample struct{}
