package view

import (
	"strings"

	"berth/cmd/text"
)

// names are what a job was called by its caller. No label has a colon before its =.
func names(job *string, labels map[string]string) []string {
	all := text.Labels(labels)
	if job != nil {
		all = append([]string{"job:" + text.OneLine(*job)}, all...)
	}
	return all
}

// mostNames bounds the names of a job's slots, in columns.
const mostNames = 24

// slotsOf are the numbers of a job's slots, and their names if they have any.
func slotsOf(h *Holder) string {
	s := text.SlotList(h.Slots)
	if len(h.SlotNames) > 0 {
		s += " " + text.Shorten(text.OneLine(strings.Join(h.SlotNames, ",")), mostNames)
	}
	return s
}
