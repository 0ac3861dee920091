//go:build !linux

package tty

// DieOfQuit does nothing here: Die cannot take SIGQUIT from the runtime.
func DieOfQuit() {}
