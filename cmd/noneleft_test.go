package cmd

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdNoneLeft knows the processes of a job by the lease that all of them
// inherit in their environment. It does not wait.
func cmdNoneLeft(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: noneleft ID")
	}
	environs, err := filepath.Glob("/proc/[0-9]*/environ")
	ts.Check(err)
	left := 0
	for _, e := range environs {
		b, err := os.ReadFile(e) // empty for a zombie
		if err == nil && slices.Contains(strings.Split(string(b), "\x00"), "BERTH_LEASE="+args[0]) {
			ts.Logf("left: %s", filepath.Dir(e))
			left++
		}
	}
	if (left == 0) == neg {
		ts.Fatalf("%d processes of %s are left", left, args[0])
	}
}
