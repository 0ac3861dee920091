package lease

// UnreachableError says that a store does not answer, or not as it should.
type UnreachableError struct {
	Store   string // without passwords
	Answers bool   // it is there, and cannot do what it was asked for now
	Err     error
	Hint    string // what to do about it; "": nothing is known but the address
}

func (e *UnreachableError) Error() string {
	if e.Answers {
		return "store " + e.Store + " cannot do it now: " + e.Err.Error()
	}
	return "cannot reach store " + e.Store + ": " + e.Err.Error()
}
func (e *UnreachableError) Unwrap() error { return e.Err }

// RefusedError says that a store cannot be used as it is asked for, and that waiting
// does not change it: somebody has to.
type RefusedError struct {
	Store string // without passwords
	Err   error
	Hint  string // what to do about it; "": nothing is known
}

func (e *RefusedError) Error() string { return "cannot use store " + e.Store + ": " + e.Err.Error() }
func (e *RefusedError) Unwrap() error { return e.Err }
