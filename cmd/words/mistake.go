package words

import "fmt"

// UsageError is a mistake in the line that were typed.
type UsageError struct {
	Err error
	Cmd string
}

func Mistake(err error, cmd string) error { return &UsageError{err, cmd} }

func (e *UsageError) Error() string { return e.Err.Error() }

func Usagef(cmd, format string, args ...any) error {
	return Mistake(fmt.Errorf(format, args...), cmd)
}

// HintedError says what to do next, where there is more to say than --help.
type HintedError struct {
	Err  error
	Next string
}

func Hinted(err error, next string) error { return &HintedError{err, next} }

func (e *HintedError) Error() string { return e.Err.Error() }

func (e *HintedError) Unwrap() error { return e.Err }
