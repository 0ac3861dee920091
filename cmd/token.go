package cmd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"berth/cmd/text"
	"berth/cmd/words"
)

// staleError says that a token is lower than one that was seen before.
type staleError struct {
	file        string
	token, seen uint64
}

func (e *staleError) Error() string {
	return fmt.Sprintf("token %d is stale: %s has seen %d", e.token, e.file, e.seen)
}

const tokenFile = "FILE is a regular file that each of the jobs may write, beside what it guards; it is made where that can be"

// tokenFmt has one width, so that it is written over in one step.
const tokenFmt = "%020d\n"

// checkToken refuses a token that is lower than the highest in the file, else writes
// it there. The file is locked meanwhile, and never shorter than it was.
func checkToken(path string, token uint64) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return words.Hinted(fmt.Errorf("cannot remember a token: %w", err), tokenFile)
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return words.Hinted(errors.Join(err, fmt.Errorf("cannot remember a token: %s is not a regular file", path)), tokenFile)
	}
	unlock, err := lockFile(f)
	if err != nil {
		return err
	}
	defer unlock()
	b := make([]byte, 64)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if n > 0 {
		seen, perr := strconv.ParseUint(strings.TrimSuffix(string(b[:n]), "\n"), 10, 64)
		switch {
		case perr != nil || n > len(fmt.Sprintf(tokenFmt, seen)):
			return words.Hinted(fmt.Errorf("%s has something else than a token in it", path),
				"name another FILE, or, when no job writes to what it guards: rm "+text.Quoted([]string{path})[0])
		case token < seen:
			return &staleError{path, token, seen}
		case token == seen:
			return nil
		}
	}
	if _, err = f.WriteAt(fmt.Appendf(nil, tokenFmt, token), 0); err != nil {
		return err
	}
	return f.Sync()
}
