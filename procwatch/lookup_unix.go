//go:build unix

package procwatch

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
)

// A command is looked up as execvp(3) does it, rather than as os/exec does: the
// command's PATH counts and not ours, the current directory may be in it, a
// script without #! runs, and the kernel's answer to execve decides instead of
// mode bits, which know nothing of ACLs or noexec mounts.

// defaultPath is searched when env has no PATH, as in glibc.
const defaultPath = "/bin:/usr/bin"

// shell runs what the kernel does not recognise as a program.
const shell = "/bin/sh"

// launch calls exec with one candidate after another until one can be run. exec
// returns nil once the command has been started.
func launch(argv, env []string, exec func(path string, argv []string) error) error {
	if len(argv) == 0 {
		return errors.New("cannot start a command: there is none")
	}
	denied := ""
	for _, path := range candidates(argv[0], env) {
		err := execOrShell(path, argv, exec)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, syscall.EACCES):
			// Another directory may still have one that can be run.
			if denied == "" {
				denied = path
			}
		case isAbsent(err):
			// execve says ENOENT for a missing interpreter, too.
			if !errors.As(err, &absent{}) && stat(path) == nil {
				return fmt.Errorf("cannot run %q: %w: what %s needs to run is missing: %v", argv[0], ErrCannotExec, path, err)
			}
		case isShortage(err):
			return fmt.Errorf("cannot start %q: %w", argv[0], err)
		default:
			return fmt.Errorf("cannot run %q: %w: %s: %v", argv[0], ErrCannotExec, path, err)
		}
	}
	if denied != "" {
		why := syscall.EACCES
		if isDir(denied) { // execve says the same of it
			why = syscall.EISDIR
		}
		return fmt.Errorf("cannot run %q: %w: %s: %v", argv[0], ErrCannotExec, denied, why)
	}
	return fmt.Errorf("cannot run %q: %w", argv[0], ErrNotFound)
}

// Find returns the error that Start would return now, as far as that is known without a
// fork: whether the command exists, and whether we may execute it. A missing interpreter
// or an unknown format shows only at the start. It costs a system call for each
// directory of PATH, and one more.
func Find(argv, env []string) error {
	return launch(argv, env, func(path string, _ []string) error {
		var st syscall.Stat_t
		switch err := statCandidate(path, &st); {
		case err != nil:
			return err
		case st.Mode&syscall.S_IFMT == syscall.S_IFDIR:
			return syscall.EACCES // and X means search there
		}
		return mayExecute(path)
	})
}

// candidates lists the files that name may mean.
func candidates(name string, env []string) []string {
	if name == "" {
		return nil
	}
	if strings.Contains(name, "/") {
		return []string{name}
	}
	var list []string
	for dir := range strings.SplitSeq(searchPath(env), ":") {
		if dir == "" {
			dir = "." // so that a name like -c is no option when it gets to the shell
		}
		list = append(list, dir+"/"+name)
	}
	return list
}

func searchPath(env []string) string {
	path, _ := SearchPath(env)
	return path
}

// SearchPath is where a command without a slash is searched for, and whether env sets it.
func SearchPath(env []string) (path string, set bool) {
	for _, kv := range env {
		if path, ok := strings.CutPrefix(kv, "PATH="); ok {
			return path, true
		}
	}
	return defaultPath, false
}

func execOrShell(path string, argv []string, exec func(string, []string) error) error {
	err := exec(path, argv)
	if errors.Is(err, syscall.ENOEXEC) {
		return exec(shell, append([]string{shell, path}, argv[1:]...))
	}
	return err
}

// isAbsent has execvp's list of errors after which the next directory is tried: those of
// a PATH entry that is missing or on a dead file system.
func isAbsent(err error) bool {
	return isAny(err, syscall.ENOENT, syscall.ENOTDIR, syscall.ESTALE, syscall.ENODEV, syscall.ETIMEDOUT)
}

// isShortage reports an error that is not the command's fault: the machine has no room for
// another process.
func isShortage(err error) bool {
	return isAny(err, syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE)
}

func isAny(err error, list ...syscall.Errno) bool {
	for _, e := range list {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// absent says that stat, and not execve, did not find a candidate.
type absent struct{ error }

func (m absent) Unwrap() error { return m.error }

// statCandidate is the only system call for a candidate that is absent: with a long PATH
// a start has dozens of them.
func statCandidate(path string, st *syscall.Stat_t) error {
	if err := syscall.Stat(path, st); err != nil {
		return absent{err}
	}
	return nil
}

func stat(path string) error {
	var st syscall.Stat_t
	return syscall.Stat(path, &st)
}

func isDir(path string) bool {
	var st syscall.Stat_t
	return syscall.Stat(path, &st) == nil && st.Mode&syscall.S_IFMT == syscall.S_IFDIR
}
