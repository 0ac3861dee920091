package storename

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
)

// MachineFile names the store of all users of this machine who name none themselves. Only
// root can write it.
const MachineFile = "/etc/berth/store"

// MachineError says why MachineFile cannot be followed. Nobody falls back to another store
// because of it: two jobs that count in two stores do not count each other.
type MachineError struct {
	File string
	Err  error
}

func (e *MachineError) Error() string {
	return "cannot take the store from " + e.File + ": " + e.Err.Error()
}
func (e *MachineError) Unwrap() error { return e.Err }

// Machine is the store that MachineFile names, "" if there is no such file. The error is a
// *MachineError.
var Machine = sync.OnceValues(func() (string, error) {
	where, err := machineStore(MachineFile, 0)
	if err != nil {
		return "", &MachineError{MachineFile, err}
	}
	machines = where
	return where, nil
})

// machines is the store of MachineFile once it was read. Suspects does not read the file: it is
// none of the business of a berth that was told its store.
var machines string

// mostOfMachine bounds the file, in bytes.
const mostOfMachine = 4096

// machineStoreIn reads the content of a MachineFile: one line names the store. Others are
// empty, or comments behind a #.
func machineStoreIn(content string) (string, error) {
	where := ""
	for line := range strings.Lines(content) {
		line = strings.TrimSpace(line)
		if i := strings.IndexByte(line, '#'); i == 0 || i > 0 && (line[i-1] == ' ' || line[i-1] == '\t') {
			line = strings.TrimSpace(line[:i])
		}
		switch {
		case line == "":
		case where != "":
			return "", fmt.Errorf("it names two stores, %q and %q", Discreet(where), Discreet(line))
		default:
			where = line
		}
	}
	switch {
	case where == "":
		return "", errors.New("it names no store")
	case Check(Spec{Where: where}) == OK && !IsURL(where) && !filepath.IsAbs(where):
		return "", fmt.Errorf("%q is neither the whole path of a directory nor a URL", Discreet(where))
	}
	return where, nil
}
