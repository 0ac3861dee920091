package words

import "berth/lease"

// Nowhere is an error for which lease.ErrNotFound stands in the table of exit codes.
type Nowhere string

func (e Nowhere) Error() string { return string(e) }

func (e Nowhere) Is(target error) bool { return target == lease.ErrNotFound }
