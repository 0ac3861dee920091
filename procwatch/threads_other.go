//go:build unix && !linux

package procwatch

func awaitThreads() {}
