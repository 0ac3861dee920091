package cmd

import (
	"fmt"
	"testing"

	"berth/lease"
)

// TestDoubtIsNoNo checks that 'berth held' does not say no because of an error.
func TestDoubtIsNoNo(t *testing.T) {
	no := fmt.Errorf("pool p: %w", lease.ErrNotFound)
	if got := code(no); got != codeNo {
		t.Fatalf("the error by itself: code %d, want %d", got, codeNo)
	}
	if got := code(&doubtError{no}); got != codeFailed {
		t.Errorf("in doubt: code %d, want %d", got, codeFailed)
	}
}
