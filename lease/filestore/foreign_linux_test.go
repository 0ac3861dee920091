package filestore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/lease/storetest"
)

// theirStore is a store of another user that root uses.
func theirStore(t *testing.T) *Store {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root and a second user")
	}
	uid, path := uint32(65534), t.TempDir()
	if err := os.Chown(path, int(uid), int(uid)); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path, Options{Owner: &uid})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestExchangedWhileItIsMade: root gives the directories that it makes to the store's owner,
// and the owner may put something of root's in their place right after they were made.
func TestExchangedWhileItIsMade(t *testing.T) {
	s := theirStore(t)
	root, err := s.rootDir()
	if err != nil {
		t.Fatal(err)
	}
	for what, put := range map[string]func(string) error{
		"a file":                      func(n string) error { return os.WriteFile(n, []byte("secret"), 0o600) },
		"a directory with something":  func(n string) error { return os.MkdirAll(filepath.Join(n, "in"), 0o700) },
		"a directory of another mode": func(n string) error { return os.Mkdir(n, 0o755) },
	} {
		for range 200 {
			secret, made := s.path("secret"), s.path("p")
			if err := put(secret); err != nil {
				t.Fatal(err)
			}
			done, over := make(chan bool), make(chan bool)
			go func() {
				defer close(over)
				for {
					select {
					case <-done:
						return
					default:
					}
					if unix.Renameat2(unix.AT_FDCWD, secret, unix.AT_FDCWD, made, unix.RENAME_EXCHANGE) == nil {
						return
					}
				}
			}()
			d, _ := s.makeDir(root, "p")
			d.close()
			close(done)
			<-over
			for _, n := range []string{secret, made} {
				fi, err := os.Lstat(n)
				if err != nil {
					t.Fatal(err)
				}
				var st unix.Stat_t
				if err := unix.Lstat(n, &st); err != nil {
					t.Fatal(err)
				}
				inside, _ := os.ReadDir(n)
				if (!fi.IsDir() || len(inside) > 0 || fi.Mode().Perm() != 0o700) && st.Uid != 0 {
					t.Fatalf("%s of root's was given to uid %d", what, st.Uid)
				}
				if err := os.RemoveAll(n); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// TestCannotHandOver: root without CAP_CHOWN cannot give what it makes to the store's owner. If
// that stayed, the owner could not use it, and later neither could root.
func TestCannotHandOver(t *testing.T) {
	s := theirStore(t)
	root, err := s.rootDir()
	if err != nil {
		t.Fatal(err)
	}
	ferr, derr := make(chan error, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocks it: the thread ends, and its loss with it
		defer close(ferr)
		defer close(derr)
		if err := dropCapability(unix.CAP_CHOWN); err != nil {
			t.Error(err)
			return
		}
		_, err := s.openFile(root, "file", creating)
		ferr <- err
		_, err = s.makeDir(root, "dir")
		derr <- err
	}()
	for name, failed := range map[string]chan error{"file": ferr, "dir": derr} {
		if err := <-failed; !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Lstat(s.path(name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left: %v", name, err)
		}
	}
	f, err := s.openFile(root, "file", creating)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// dropCapability takes a capability from the calling thread.
func dropCapability(c uint) error {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&head, &data[0]); err != nil {
		return err
	}
	data[c/32].Effective &^= 1 << (c % 32)
	return unix.Capset(&head, &data[0])
}

// TestLeasedFile: a member of the store's group has a lease (F_SETLEASE) on a file of its own
// there. An open for writing would wait until the kernel breaks that lease.
func TestLeasedFile(t *testing.T) {
	for _, name := range []string{"p/slots/0", "p/pace", sweepStamp} {
		s := newStore(t)
		s.opts.Sweep, s.opts.Forget, s.opts.SweepFor = time.Nanosecond, time.Hour, time.Second
		giveBack(t, takeSlot(t, s, burst()))
		s.sweep() // makes the stamp
		path := s.path(name)
		leased, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer leased.Close()
		// The kernel tells its holder by SIGIO, which the runtime ignores.
		if _, err := unix.FcntlInt(leased.Fd(), unix.F_SETLEASE, unix.F_RDLCK); err != nil {
			t.Skipf("no lease is to be had here: %v", err)
		}
		over := make(chan error, 1)
		go func() {
			if name == sweepStamp {
				s.sweep()
				over <- nil
				return
			}
			h, _, err := s.TryAcquire(context.Background(), burst())
			if h != nil {
				_ = h.Release(context.Background())
			}
			over <- err
		}()
		select {
		case err = <-over:
		case <-time.After(storetest.Deadline):
			err = errors.New("it waits")
		}
		if want := path + ": is leased by another process"; name != sweepStamp && (err == nil || !strings.Contains(err.Error(), want)) || name == sweepStamp && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		// What the lease kept from us is had when it is gone.
		if _, err := unix.FcntlInt(leased.Fd(), unix.F_SETLEASE, unix.F_UNLCK); err != nil {
			t.Error(err)
		}
		giveBack(t, takeSlot(t, s, burst()))
	}
}
