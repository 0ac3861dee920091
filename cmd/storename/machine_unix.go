//go:build unix

package storename

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// machineStore reads a MachineFile that this user alone may be able to change. Where there is
// none it costs two system calls, because every start makes them.
func machineStore(file string, owner uint32) (string, error) {
	// O_NONBLOCK: a FIFO would wait for its other end.
	fd, err := unix.Open(file, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	switch {
	case err == unix.ENOENT:
		return "", deadLink(filepath.Dir(file))
	case err == unix.ELOOP || err == unix.EMLINK: // of Linux and of FreeBSD
		return "", errors.New("it is a symbolic link")
	case err != nil:
		return "", err
	}
	f := os.NewFile(uintptr(fd), file)
	defer f.Close()
	var st, dir unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "", err
	}
	if err := unix.Lstat(filepath.Dir(file), &dir); err != nil {
		return "", err
	}
	if err := errors.Join(mayTrust("it", &st, unix.S_IFREG, owner), mayTrust("its directory", &dir, unix.S_IFDIR, owner)); err != nil {
		return "", err
	}
	content, err := io.ReadAll(io.LimitReader(f, mostOfMachine+1))
	switch {
	case err != nil:
		return "", err
	case len(content) > mostOfMachine:
		return "", fmt.Errorf("it has more than %d bytes", mostOfMachine)
	}
	return machineStoreIn(string(content))
}

// deadLink is an error if the directory is a symbolic link. One that leads nowhere would have each
// user fall back to a store of their own, silently.
func deadLink(dir string) error {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err == nil && uint32(st.Mode)&unix.S_IFMT == unix.S_IFLNK {
		return errors.New("its directory is a symbolic link")
	}
	return nil
}

// mayTrust says why others than the owner could have written something.
func mayTrust(what string, st *unix.Stat_t, kind uint32, owner uint32) error {
	mode := uint32(st.Mode)
	switch {
	case mode&unix.S_IFMT == unix.S_IFLNK:
		return fmt.Errorf("%s is a symbolic link", what)
	case mode&unix.S_IFMT != kind:
		return fmt.Errorf("%s is not a %s", what, map[uint32]string{unix.S_IFREG: "regular file", unix.S_IFDIR: "directory"}[kind])
	case st.Uid != owner:
		return fmt.Errorf("%s belongs to uid %d, not to root", what, st.Uid)
	case mode&0o022 != 0:
		return fmt.Errorf("%s can be written by others than root (mode %04o)", what, mode&0o7777)
	}
	return nil
}
