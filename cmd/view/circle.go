package view

import (
	"fmt"
	"strings"

	"berth/cmd/text"
	"berth/lease"
)

// Circle says who waits for whom in a circular wait.
func Circle(c lease.Circle) string {
	var members []string
	for _, w := range c {
		t := w.Waiter
		who := fmt.Sprintf("%s (%s, pid %d) waits in pool %s", text.OneLine(t.ID), text.Shorten(text.CommandLine(t.Command), 40), t.Owner.PID, text.OneLine(t.Pool))
		var holds []string
		for _, l := range w.Holds {
			holds = append(holds, fmt.Sprintf("%s (%s) holds slot %s of pool %s", text.OneLine(l.ID), text.Shorten(text.CommandLine(l.Command), 40), text.SlotList(l.Slots), text.OneLine(l.Pool)))
		}
		if holds == nil {
			holds = []string{"others stand behind it"}
		}
		members = append(members, who+", and until then "+strings.Join(holds, ", "))
	}
	return "a circular wait, which does not end by itself: " + strings.Join(members, "; ")
}
