package etcdstore

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"berth/lease"
)

// holds is what a decision needs of a holder. It is in the NAME of a key beside the
// record, so that a decision reads names alone: a record has the command and its labels
// in it, and decoding a thousand of them takes longer than all else in a run.
//
// The record stays the truth. A berth that does not know these keys writes none, and
// reads every record; so a name counts only beside a record that was made in the same
// transaction, and a record that has none is read.
type holds struct {
	slots []int
	asks  int
}

const holdsKind = "slots/"

// mostSlots bounds what a name can have us count.
const mostSlots = 1 << 20

func holdsOf(l lease.Lease) holds { return holds{l.Slots, l.Asks} }

// name is ASKS/SLOTS, as in 8/0-3,7.
func (h holds) name() string {
	slots := slices.Sorted(slices.Values(h.slots))
	var b strings.Builder
	b.WriteString(strconv.Itoa(h.asks) + "/")
	for i := 0; i < len(slots); {
		end := i
		for end+1 < len(slots) && slots[end+1] == slots[end]+1 {
			end++
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(slots[i]))
		if end > i {
			b.WriteString("-" + strconv.Itoa(slots[end]))
		}
		i = end + 1
	}
	return b.String()
}

// readHolds reads what name writes, and nothing else.
func readHolds(name string) (h holds, err error) {
	bad := fmt.Errorf("%q does not name slots", name)
	asks, slots, _ := strings.Cut(name, "/")
	if h.asks, err = strconv.Atoi(asks); err != nil || h.asks < 0 {
		return holds{}, bad
	}
	for part := range strings.SplitSeq(slots, ",") {
		first, last, _ := strings.Cut(part, "-")
		from, err := strconv.Atoi(first)
		if n := len(h.slots); err != nil || from < 0 || n > 0 && from <= h.slots[n-1] {
			return holds{}, bad
		}
		to := from
		if last != "" {
			if to, err = strconv.Atoi(last); err != nil {
				return holds{}, bad
			}
		}
		if to < from || to-from+len(h.slots) >= mostSlots {
			return holds{}, bad
		}
		for ; from <= to; from++ {
			h.slots = append(h.slots, from)
		}
	}
	if h.name() != name {
		return holds{}, bad
	}
	return h, nil
}
