package procwatch

import "strings"

// Started returns a variable of the environment that this process was started with,
// as far as we may look.
func (id ID) Started(name string) (value string, ok bool) {
	for _, e := range environ(id.PID, name+"=") {
		return strings.CutPrefix(e, name+"=")
	}
	return "", false
}
