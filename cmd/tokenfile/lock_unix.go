//go:build unix

package tokenfile

import (
	"errors"
	"fmt"
	"os"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"
)

// lock waits for the lock of an open file, until unlock. The lock is another
// descriptor's, so a file that took the other's place before it is refused.
func lock(f *os.File) (unlock func(), err error) {
	l := flock.New(f.Name(), flock.SetFlag(os.O_RDONLY))
	for err = l.Lock(); errors.Is(err, unix.EINTR); {
		err = l.Lock()
	}
	if err != nil {
		return nil, err
	}
	unlock = func() { _ = l.Close() } // which unlocks, too
	locked, err := l.Stat()
	if err == nil {
		var opened os.FileInfo
		if opened, err = f.Stat(); err == nil && !os.SameFile(locked, opened) {
			err = fmt.Errorf("%s was replaced while it was being locked", f.Name())
		}
	}
	if err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}
