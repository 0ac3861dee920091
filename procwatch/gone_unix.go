//go:build unix

package procwatch

import (
	"errors"
	"os"
	"time"
)

// goneEvery is how often the process table is read where the kernel does not tell when a
// process ends.
const goneEvery = time.Second

// poll is Gone without help of the kernel.
func (id ID) poll() (<-chan struct{}, error) {
	if s := id.State(); s != Alive && s != Stopped {
		return nil, notAlive(s)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for id.State() != Gone {
			time.Sleep(goneEvery)
		}
	}()
	return gone, nil
}

// notAlive is the error about a process in that state.
func notAlive(s State) error {
	if s == Gone {
		return os.ErrProcessDone
	}
	return errors.New("it cannot be seen from here")
}
