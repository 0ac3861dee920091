package procwatch

import (
	"os"
	"strconv"
)

// Dir is the working directory of the process, or "" if it is gone, is not of this
// machine, or may not be read. The state is read last: a pid that was reused has
// another start time then.
func (id ID) Dir() string {
	dir, err := os.Readlink("/proc/" + strconv.Itoa(id.PID) + "/cwd")
	if s := id.State(); err != nil || s != Alive && s != Stopped {
		return ""
	}
	return dir
}
