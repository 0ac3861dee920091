//go:build unix

package cmd

import "golang.org/x/sys/unix"

// windowSize is that of the terminal that fd is, 0 if it is none.
func windowSize(fd int) (columns, rows int) {
	ws, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
	switch {
	case err != nil:
		return 0, 0
	case ws.Col == 0 || ws.Row == 0: // it does not know
		return 80, 24
	}
	return int(ws.Col), int(ws.Row)
}

// ours reports whether we may draw on the terminal that fd is: our process group has
// it, or it is not the one that our shell shares out.
func ours(fd int) bool {
	group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	return err != nil || group == unix.Getpgrp()
}
