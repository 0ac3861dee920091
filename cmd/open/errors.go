package open

import (
	"fmt"

	"berth/cmd/storename"
)

// NoParentError says that the directory in which a store would be made is missing.
type NoParentError struct {
	err       error
	Dir, From string
}

func (e *NoParentError) Error() string { return e.err.Error() }
func (e *NoParentError) Unwrap() error { return e.err }

// NoMachineStoreError says that the directory is missing which all users of this machine use.
// The first of them to come would make one that the others cannot use.
type NoMachineStoreError struct{ Dir string }

func (e *NoMachineStoreError) Error() string {
	return fmt.Sprintf("%s names the directory %s, which is not there", storename.MachineFile, e.Dir)
}

// NameError says that a name is hardly the name of a store.
type NameError struct {
	Spec storename.Spec
	Kind storename.Kind
}

func (e *NameError) Error() string {
	shown := storename.Discreet(e.Spec.Where)
	switch e.Kind {
	case storename.Empty:
		return e.Spec.From + `: "" names no store`
	case storename.Tilde:
		return fmt.Sprintf("%s: %q begins with a ~ that no shell has expanded", e.Spec.From, shown)
	case storename.Address:
		return fmt.Sprintf("%s: %q looks like the address of a server, and is not a directory name", e.Spec.From, shown)
	}
	return fmt.Sprintf("%s: %q is neither a directory name nor a URL", e.Spec.From, shown)
}

// NoRemoteError says that berth-remote cannot be run.
type NoRemoteError struct {
	store string
	err   error
}

func (e *NoRemoteError) Error() string {
	return fmt.Sprintf("store %s needs the program %s beside berth or on PATH: %v", e.store, RemoteProgram, e.err)
}
