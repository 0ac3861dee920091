package procwatch

import (
	"os"
	"strconv"
	"strings"
)

// Command is the command line of the process, nil if it is gone, is not of this machine, or
// may not be read. The state is read last: a pid that was reused has another start time then.
func (id ID) Command() []string {
	line, err := os.ReadFile("/proc/" + strconv.Itoa(id.PID) + "/cmdline")
	if s := id.State(); err != nil || len(line) == 0 || s != Alive && s != Stopped {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
}
