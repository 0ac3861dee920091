package procwatch

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// Started returns a variable of the environment that this process was started with,
// as far as we may read that.
func (id ID) Started(name string) (value string, ok bool) {
	for _, e := range environ(id.PID, name+"=") {
		return strings.CutPrefix(e, name+"=")
	}
	return "", false
}

// Hidden reports whether we may not read the environment of this process: it belongs to
// another user, or is a program that the kernel protects from its own user.
func (id ID) Hidden() bool {
	f, err := os.Open("/proc/" + strconv.Itoa(id.PID) + "/environ")
	if err == nil {
		_, err = f.Read(make([]byte, 1))
		f.Close()
	}
	return errors.Is(err, fs.ErrPermission)
}
