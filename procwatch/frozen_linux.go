package procwatch

import (
	"bytes"
	"strconv"
	"strings"
)

// Frozen reports whether the process is in a control group that is frozen: it runs no
// code then, though its state is that of a process that sleeps. It is false where that
// cannot be read.
func (id ID) Frozen() bool {
	groups, err := readFile("/proc/" + strconv.Itoa(id.PID) + "/cgroup")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(groups)) {
		// "6:freezer:/jobs" of version 1, "0::/jobs" of version 2
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controller, path, _ := strings.Cut(rest, ":")
		switch controller {
		case "freezer":
			if hasLine("/sys/fs/cgroup/freezer"+path+"/freezer.state", "FROZEN") {
				return true
			}
		case "":
			for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
				if hasLine(root+path+"/cgroup.events", "frozen 1") {
					return true
				}
			}
		}
	}
	return false
}

// hasLine reports whether a small file has this line.
func hasLine(file, line string) bool {
	b, _ := readFile(file)
	for l := range bytes.Lines(b) {
		if string(bytes.TrimSpace(l)) == line {
			return true
		}
	}
	return false
}
