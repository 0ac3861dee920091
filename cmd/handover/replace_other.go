//go:build unix && !linux

package handover

import "golang.org/x/sys/unix"

// replace makes fd another name of file.
func replace(file, fd int) error { return unix.Dup2(file, fd) }
