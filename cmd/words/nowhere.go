package words

import "berth/lease"

// Nowhere is an error that is a lease.ErrNotFound with a message of its own.
type Nowhere string

func (e Nowhere) Error() string { return string(e) }

func (e Nowhere) Is(target error) bool { return target == lease.ErrNotFound }
