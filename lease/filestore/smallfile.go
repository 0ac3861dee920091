//go:build unix

package filestore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"berth/lease"
)

// The files limit, pace and report are small and are written under the pool's lock.

// maxSmall bounds what is read of such a file; ours are below 16 KiB.
const maxSmall = 64 << 10

// read returns what a file holds, and who wrote it (-1: not known); nil when it is
// not there.
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
		uid = -1 // others can write it: nobody knows who did
	}
	return b, uid, nil
}

// replace writes a file in one step: a reader sees the old one or the new one,
// also when we are killed or the disk is full.
func (p *pool) replace(name string, v any) error {
	b, err := jsonLine(v)
	if err != nil {
		return err
	}
	d, tmp := p.top, name+".new"
	_ = d.remove(tmp) // left by somebody who was killed here; we hold the lock
	// Not writable for the group from the start: who owns it has written it.
	var fd int
	withoutUmask(func() {
		fd, err = d.openat(tmp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, p.s.fileMode()&^0o022)
	})
	if err != nil {
		return d.pathErr("create", tmp, err)
	}
	f := os.NewFile(uintptr(fd), d.join(tmp))
	if name == "limit" {
		// A pool may be idle for longer than cleaners of temporary files leave
		// alone. systemd-tmpfiles passes a file with the sticky bit; where it
		// means something else, it is not to be had.
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

// Report implements lease.Place.
func (t *place) Report(ctx context.Context, why string, data json.RawMessage) error {
	return t.pool.locked(ctx, func(*index) error {
		return t.pool.replace("report", lease.Report{By: t.ticket.ID, Why: why, At: t.pool.s.Clock(), Data: data})
	})
}

// report is what the last who asked his gates left; nil: nothing to be read.
func (p *pool) report() *lease.Report {
	b, _, err := p.read("report")
	r := &lease.Report{}
	// Of an instant that this boot has not reached: it is of one before.
	if b == nil || err != nil || json.Unmarshal(b, r) != nil || r.At > p.s.Clock() {
		return nil
	}
	return r
}
