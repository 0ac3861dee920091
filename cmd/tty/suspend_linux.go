package tty

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// SuspendSelf suspends this process as the terminal would have, and returns after it was
// resumed. Not by TSTP, which we catch. The signal goes to this thread: one sent to the
// process may be taken by another thread, and this one would run on for a moment, into a
// lock for example, and be suspended there. In an orphaned process group it returns at once, as
// a TSTP does nothing there: no shell is left that could resume it.
func SuspendSelf() {
	if orphaned() {
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.Tgkill(os.Getpid(), unix.Gettid(), STOP)
}

// orphaned reports whether no process of our group has a parent in another group of our session:
// setpgid(2) and POSIX call such a group orphaned. What cannot be found out counts as none.
func orphaned() bool {
	group := unix.Getpgrp()
	session, err := unix.Getsid(0)
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		return false
	}
	for _, stat := range stats {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		if of, err := unix.Getpgid(pid); err != nil || of != group {
			continue
		}
		parent := parentIn(stat)
		if parent <= 0 && session != os.Getpid() {
			return false // it is in another pid namespace, or not to be read
		}
		of, err1 := unix.Getpgid(parent)
		its, err2 := unix.Getsid(parent)
		if parent > 0 && err1 == nil && err2 == nil && of != group && its == session {
			return false
		}
	}
	return true
}

// parentIn is the parent's pid in a /proc/PID/stat, behind the name in brackets and the state; 0
// if there is none to be seen.
func parentIn(stat string) int {
	b, _ := os.ReadFile(stat)
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(f) < 2 {
		return 0
	}
	pid, _ := strconv.Atoi(string(f[1]))
	return pid
}
