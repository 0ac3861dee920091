package filestore

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
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

// TestExchangedWhileItIsMade: root gives the directories that it makes to the owner of
// the store, who may exchange them for something of root's right after they were made.
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
