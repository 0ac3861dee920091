package detached

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func find(id string, stores []string) (*os.File, error) {
	for _, s := range stores {
		root, _, err := openDir([]string{s}, false)
		if err != nil {
			continue // there is none in it that we would believe
		}
		f, err := root.Open(fileOf(id) + recordSuffix)
		root.Close()
		if !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
	return nil, &UnknownError{id}
}

// openDir opens the directory in the first store where it can be.
func openDir(stores []string, create bool) (root *os.Root, dir string, err error) {
	for i, s := range stores {
		if create && i == len(stores)-1 {
			_ = os.Mkdir(s, 0o700)
		}
		if root, err = openOwn(s, create); err == nil {
			dir, err = filepath.Abs(filepath.Join(s, Name))
			return root, dir, err
		}
	}
	return nil, "", fmt.Errorf("no place for the result of a detached job: %w", err)
}

func openOwn(store string, create bool) (*os.Root, error) {
	outer, err := os.OpenRoot(store)
	if err != nil {
		return nil, err
	}
	defer outer.Close()
	if err := checkOwn(outer); err != nil {
		return nil, err
	}
	if create {
		if err := outer.Mkdir(Name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	root, err := outer.OpenRoot(Name)
	if err != nil {
		return nil, err
	}
	if err := checkOwn(root); err != nil {
		root.Close()
		return nil, err
	}
	return root, nil
}

// checkOwn refuses a directory that another user can write to.
func checkOwn(root *os.Root) error {
	fi, err := root.Stat(".")
	switch {
	case err != nil:
		return err
	case !isOurs(fi), fi.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%s is not a directory that only this user can write to", root.Name())
	}
	return nil
}

// removeOld removes the files of jobs that ended long ago. What cannot be removed stays.
func removeOld(root *os.Root) {
	all, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return
	}
	for _, e := range all {
		name, isRecord := strings.CutSuffix(e.Name(), recordSuffix)
		if fi, err := e.Info(); !isRecord || err != nil || time.Since(fi.ModTime()) < keepFor {
			continue
		}
		f, err := root.Open(e.Name())
		if err != nil {
			continue
		}
		if tryLock(f) == nil { // else the job still runs
			_ = root.Remove(name + logSuffix)
			_ = root.Remove(e.Name())
		}
		f.Close()
	}
}
