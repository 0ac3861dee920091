//go:build unix

package cmd

import "golang.org/x/sys/unix"

// windowSize is that of the terminal that fd is, 0 if it is none.
func windowSize(fd int) (columns, rows int) {
	ws, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	columns, rows = int(ws.Col), int(ws.Row)
	if columns == 0 { // it does not know
		columns = 80
	}
	if rows == 0 {
		rows = 24
	}
	return columns, rows
}

// ours reports whether we may draw on the terminal that fd is: our process group has
// it, or it is not the one that our shell shares out.
func ours(fd int) bool {
	group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	return err != nil || group == unix.Getpgrp()
}
