//go:build unix && !linux

package procwatch

import "os"

func thisProgram() string {
	path, _ := os.Executable() // "" cannot be executed, which the fork reports
	return path
}
