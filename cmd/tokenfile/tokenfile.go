// Package tokenfile keeps in a file the highest fencing token that was checked against it.
package tokenfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// StaleError says that a token is lower than one that was checked before.
type StaleError struct {
	File        string
	Token, Seen uint64
}

func (e *StaleError) Error() string {
	return fmt.Sprintf("token %d is stale: %s has seen %d", e.Token, e.File, e.Seen)
}

// UnusableError says that a file cannot keep a token.
type UnusableError struct{ Err error }

func (e *UnusableError) Error() string { return fmt.Sprintf("cannot remember a token: %v", e.Err) }
func (e *UnusableError) Unwrap() error { return e.Err }

// OtherError says that a file has other content than a token.
type OtherError struct{ File string }

func (e *OtherError) Error() string {
	return fmt.Sprintf("%s does not contain a token", e.File)
}

// format has one width, so that one write replaces a token.
const format = "%020d\n"

// Check returns a StaleError if a token is lower than the highest in the file; else it writes
// the token there. The file is locked while it does, and never shorter than it was. A missing
// file is created.
func Check(path string, token uint64) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return &UnusableError{err}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return &UnusableError{err}
	}
	if !info.Mode().IsRegular() {
		return &UnusableError{fmt.Errorf("%s is not a regular file", path)}
	}
	unlock, err := lock(f)
	if err != nil {
		return fmt.Errorf("cannot lock a token file: %w", err)
	}
	defer unlock()
	seen, err := read(f)
	switch {
	case err != nil:
		return err
	case token < seen:
		return &StaleError{path, token, seen}
	case token == seen && seen > 0:
		return nil
	}
	if _, err = f.WriteAt(fmt.Appendf(nil, format, token), 0); err == nil {
		err = f.Sync()
	}
	if err != nil {
		return fmt.Errorf("cannot write a token: %w", err)
	}
	return nil
}

// read is the token in the file, 0 in an empty one.
func read(f *os.File) (uint64, error) {
	b := make([]byte, 64)
	n, err := f.ReadAt(b, 0)
	if n == 0 && errors.Is(err, io.EOF) {
		return 0, nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("cannot read a token: %w", err)
	}
	seen, err := strconv.ParseUint(strings.TrimSuffix(string(b[:n]), "\n"), 10, 64)
	if err != nil || n > len(fmt.Sprintf(format, seen)) {
		return 0, &OtherError{f.Name()}
	}
	return seen, nil
}
