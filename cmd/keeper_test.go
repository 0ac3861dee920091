//go:build unix

package cmd

import (
	"errors"
	"fmt"
	"testing"

	"berth/cmd/handover"
	"berth/cmd/words"
	"berth/procwatch"
)

// TestKeeperOfAReusedPid: a process that has the pid now is not the one that the slot is for.
func TestKeeperOfAReusedPid(t *testing.T) {
	self, err := procwatch.Self()
	if err != nil {
		t.Fatal(err)
	}
	for _, later := range []uint64{0, 1} {
		k := &keeper{spec: &words.Acquire{}, back: &handover.Back{Data: fmt.Sprintf("%d %d", self.PID, self.Start-later)}}
		err := k.tie()
		if gone := errors.As(err, new(*noParentError)); gone != (later > 0) || !gone && err != nil {
			t.Errorf("started %d later: %v", later, err)
		}
	}
}
