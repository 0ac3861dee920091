//go:build unix && !linux

package procwatch

// Gone returns a channel that is closed within a second after the process is gone, which need
// not be a child of ours. The error wraps os.ErrProcessDone when it is gone already, or when
// its pid belongs to another process.
func (id ID) Gone() (<-chan struct{}, error) { return id.poll() }
