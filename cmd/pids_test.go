//go:build unix

package cmd

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// pidsGroup makes a control group with a limit of processes, of either version: in
// ours, or in one above it that has groups with such limits already. It is "" where
// that cannot be had.
func pidsGroup() string {
	text, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 || f[1] != "pids" && f[1] != "" {
			continue
		}
		root := filepath.Join("/sys/fs/cgroup", f[1])
		for at := f[2]; ; at = filepath.Dir(at) {
			dir, err := os.MkdirTemp(filepath.Join(root, at), "berth-test-")
			if err == nil && exists(filepath.Join(dir, "pids.max")) {
				return dir
			}
			_ = os.Remove(dir)
			if at == "/" || at == "." {
				break
			}
		}
	}
	return ""
}

func canLimitPids() bool {
	dir := pidsGroup()
	return dir != "" && os.Remove(dir) == nil
}

// cmdPids names the directory of a control group that may have so many processes
// and threads in VAR.
func cmdPids(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: pids VAR N")
	}
	dir := pidsGroup()
	ts.Defer(func() { removeGroup(ts, dir) })
	ts.Check(os.WriteFile(filepath.Join(dir, "pids.max"), []byte(args[1]), 0o644))
	ts.Setenv(args[0], dir)
}
