package procwatch

import (
	"os"
	"strconv"
	"strings"
)

// Started returns a variable of the environment that this process was started with,
// as far as we may look.
func (id ID) Started(name string) (value string, ok bool) {
	env, err := os.ReadFile("/proc/" + strconv.Itoa(id.PID) + "/environ")
	if err != nil {
		return "", false
	}
	for e := range strings.SplitSeq(string(env), "\x00") {
		if value, ok = strings.CutPrefix(e, name+"="); ok {
			return value, true
		}
	}
	return "", false
}
