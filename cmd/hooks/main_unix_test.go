//go:build unix

package hooks

import (
	"os"
	"testing"

	"berth/procwatch"
)

func TestMain(m *testing.M) {
	if code, was := procwatch.BeSide(os.Args[1:]); was {
		os.Exit(code)
	}
	os.Exit(m.Run())
}
