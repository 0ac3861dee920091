package lease

import "fmt"

// Check says what in a record no berth has written. A store takes such a record for
// damaged: whoever may write to it may have written anything, and the state is shown
// and acted upon.
//
// The states that only a look finds out are none of a record's: one that calls itself
// orphaned would have its job ended by somebody else's 'berth stop'.
func (l *Lease) Check() error {
	if l.State != Reserved && l.State != Running {
		return fmt.Errorf("its state is %q, and not one that is recorded", l.State)
	}
	return nil
}
