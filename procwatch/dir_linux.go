package procwatch

import (
	"os"
	"strconv"
)

// Dir is the working directory of the process, as far as we may look; "" when it is
// gone, or is not of this machine. Whose it is, is asked after the look: a pid that is
// reused has another start then.
func (id ID) Dir() string {
	dir, err := os.Readlink("/proc/" + strconv.Itoa(id.PID) + "/cwd")
	if s := id.State(); err != nil || s != Alive && s != Stopped {
		return ""
	}
	return dir
}
