//go:build unix

package engine

import (
	"os"
	"syscall"
)

func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }

func freeze(p *os.Process) error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return stopped(p)
}

func thaw(p *os.Process) error { return p.Signal(syscall.SIGCONT) }
