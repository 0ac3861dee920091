package cmd

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// openStore fails here: a slot is a flock(2) that the child inherits, and
// Windows has locks of another kind, which end with the handle of one process.
func openStore(storeOptions, bool, *speaker) (*store, error) {
	return nil, fmt.Errorf("berth does not run on Windows: a shared directory of slots needs flock(2): %w", errors.ErrUnsupported)
}

// The signals that Unix has and this system has not; nothing delivers them.
const (
	sigTSTP = syscall.Signal(0x100 + iota)
	sigSTOP
	sigCONT
	sigWINCH
	sigUSR1
	sigUSR2
	sigTTIN
	sigTTOU
)

type terminal struct{ had bool }

func newTerminal() terminal                    { return terminal{} }
func (terminal) sent(syscall.Signal) bool      { return false }
func catchSignals(chan os.Signal, []os.Signal) {}

type rawStderr struct{}

func (rawStderr) Write(b []byte) (int, error) { return os.Stderr.Write(b) }

var drastic, harmless []os.Signal

func foreground() bool                   { return false }
func isTerminal(int) bool                { return false }
func windowSize(int) (columns, rows int) { return 0, 0 }
func ours(int) bool                      { return true }
func stopSelf()                          {}

func lockFile(*os.File) (func(), error) { return nil, errors.ErrUnsupported }

func dieOf(syscall.Signal) {}
