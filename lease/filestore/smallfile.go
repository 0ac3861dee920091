//go:build unix

package filestore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// The files limit, pace and report are small and are written under the pool's lock.

// maxSmall bounds what is read of such a file. Ours are smaller than 16 KiB.
const maxSmall = 64 << 10

// read returns the content of a file, nil if it is missing, and the uid of its writer (-1:
// unknown).
func (p *pool) read(name string) ([]byte, int, error) {
	f, err := p.openFile(top, name, reading)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	if fi.Size() > maxSmall {
		return nil, 0, &fs.PathError{Op: "read", Path: f.Name(), Err: fmt.Errorf("has %d bytes, and what berth writes there at most %d; remove it", fi.Size(), maxSmall)}
	}
	b := make([]byte, fi.Size())
	n, err := f.ReadAt(b, 0)
	if n < len(b) {
		return nil, 0, err
	}
	uid := int(fi.Sys().(*syscall.Stat_t).Uid)
	if fi.Mode().Perm()&0o022 != 0 {
		uid = -1 // others may have written it
	}
	return b, uid, nil
}

// replace writes a file in one step: a reader sees the old one or the new one, even if we
// are killed or the disk is full.
func (p *pool) replace(name string, v any) error {
	b, err := jsonLine(v)
	if err != nil {
		return err
	}
	d, tmp := p.top, name+".new"
	_ = d.remove(tmp) // left by a process that was killed here; we hold the lock
	// Never writable for the group, so that its owner is its writer.
	var fd int
	withoutUmask(func() {
		fd, err = d.openat(tmp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, p.s.fileMode()&^0o022)
	})
	if err != nil {
		return d.pathErr("create", tmp, err)
	}
	f := os.NewFile(uintptr(fd), d.join(tmp))
	if name == "limit" {
		// A pool may be idle for longer than cleaners of temporary files wait.
		// systemd-tmpfiles leaves a file with the sticky bit alone; systems on which the
		// bit means something else do not set it.
		_ = unix.Fchmod(fd, p.s.fileMode()&^0o022|unix.S_ISVTX)
	}
	if err = p.s.handOver(fd); err == nil {
		_, err = f.Write(b)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = d.rename(tmp, name)
	}
	if err != nil {
		_ = d.remove(tmp)
	}
	return err
}
