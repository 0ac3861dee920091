package words

import "fmt"

// UsageError is a mistake in the words that were typed. Its message is the fact alone.
type UsageError struct {
	Err error
	Cmd string // whose --help tells more
}

func Mistake(err error, cmd string) error { return &UsageError{err, cmd} }

func (e *UsageError) Error() string { return e.Err.Error() }

func Usagef(cmd, format string, args ...any) error {
	return Mistake(fmt.Errorf(format, args...), cmd)
}

// HintedError carries what to do next: a command that can be pasted, or a sentence.
type HintedError struct {
	Err  error
	Next string
}

func Hinted(err error, next string) error { return &HintedError{err, next} }

func (e *HintedError) Error() string { return e.Err.Error() }

func (e *HintedError) Unwrap() error { return e.Err }
