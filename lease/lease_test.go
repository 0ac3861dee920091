package lease

import "testing"

func TestCheck(t *testing.T) {
	for state, good := range map[State]bool{
		Reserved: true, Running: true,
		"": false, Orphaned: false, Stalled: false, Damaged: false, "\x1b]0;x\a": false,
	} {
		l := &Lease{State: state}
		if err := l.Check(); (err == nil) != good {
			t.Errorf("state %q: %v", state, err)
		}
	}
}
