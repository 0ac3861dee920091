// Package testbed is what the tests of the whole program share: the programs, built
// as the tests are, and how a process ended.
package testbed

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// Build builds a command of this module into dir, and returns the path of its
// program. It is built with the race detector when the caller is, and else as a
// release is.
func Build(dir, pkg string) (program string, err error) {
	program = filepath.Join(dir, filepath.Base(pkg))
	build := exec.Command("go", "build", "-o", program, "-tags", "urfave_cli_no_docs")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if race {
		build.Args = append(build.Args, "-race")
		build.Env = nil
	}
	build.Args = append(build.Args, pkg)
	build.Stderr = os.Stderr
	return program, build.Run()
}

// ExitCode is the code that a shell would report: 128+n for an end by signal n.
func ExitCode(p *os.ProcessState) int {
	if ws := p.Sys().(syscall.WaitStatus); ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return p.ExitCode()
}
