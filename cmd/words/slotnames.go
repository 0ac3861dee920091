package words

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"berth/lease"
)

// ParseSlotNames reads the names of slots, with commas between them. They have no blanks, so
// that a script can split a list of them.
func ParseSlotNames(s string) ([]string, error) {
	names := strings.Split(s, ",")
	for _, name := range names {
		if strings.ContainsFunc(name, unicode.IsSpace) {
			return nil, fmt.Errorf("%q has a blank or a line end: write names like cuda0,cuda1", name)
		}
	}
	return names, lease.CheckSlotNames(names)
}

// slotNames reads --names. none is a word of the limit: it would name one slot, and limit the
// pool to that.
func (p *parser) slotNames(l *Limit) {
	if p.isSet("names") && p.text("names") == "none" {
		p.fail(Hinted(errors.New("--names: \"none\" is not a name of a slot"),
			fmt.Sprintf("berth limit %s none removes the limit and the names", l.Pool)))
	}
	parsed(p, "names", &l.names, ParseSlotNames)
}

// CheckNames refuses to give a name to another slot than the one in which a job still has it: the
// next job would get the same name. A job that starts between this and the change is not seen.
func (l *Limit) CheckNames(holders []lease.Entry) error {
	for _, h := range holders {
		for k, name := range h.Lease.SlotNames[:min(len(h.Lease.SlotNames), len(h.Lease.Slots))] {
			was, is := h.Lease.Slots[k], slices.Index(l.names, name)
			if is >= 0 && is != was {
				return Hinted(fmt.Errorf("--names: %q would be slot %d, and %s still has it as slot %d: two jobs would use it", name, is, h.Lease.ID, was),
					fmt.Sprintf("berth limit %s 0 && berth wait %s, and then --names", l.Pool, l.Pool))
			}
		}
	}
	return nil
}

// name puts the names of the slots into own, and the limit that they bring.
func (l *Limit) name(own *lease.Settings) error {
	switch {
	case l.names != nil && l.word == "none":
		return errors.New("--names sets a limit, and none removes it; drop one of them")
	case l.names != nil:
		own.Names = l.names
		if l.word == "" {
			n := len(l.names)
			own.Limit = &n
		}
	case l.word == "none":
		own.Names = nil
	}
	if own.Limit == nil || len(own.Names) == 0 || *own.Limit <= len(own.Names) {
		return nil
	}
	return Hinted(fmt.Errorf("a limit of %d needs as many names, and pool %s has %d", *own.Limit, l.Pool, len(own.Names)),
		fmt.Sprintf("name all slots with --names; berth limit %s none removes the limit and the names", l.Pool))
}
