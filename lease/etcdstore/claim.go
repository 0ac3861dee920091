package etcdstore

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"berth/lease"
)

// claim is what a decision needs to know of a holder. It is the NAME of a key beside the
// record, so that a decision reads names alone. A record also holds the command and
// labels, and decoding a thousand records takes longer than all else in a run.
//
// The record remains the truth. An older berth does not write such keys, and reads every
// record. So a claim counts only beside a record that was made in the same transaction,
// and a record without a claim is read.
type claim struct {
	slots []int
	limit int // that it requests; 0: none
}

const claimKind = "slots/"

// mostSlots bounds the memory that a claim can take.
const mostSlots = 1 << 20

func claimOf(l lease.Lease) claim { return claim{l.Slots, l.RequestedLimit} }

// name is LIMIT/SLOTS, as in 8/0-3,7.
func (h claim) name() string {
	slots := slices.Sorted(slices.Values(h.slots))
	var b strings.Builder
	b.WriteString(strconv.Itoa(h.limit) + "/")
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

// parseClaim accepts exactly what name writes. It runs for each holder in each decision,
// so it allocates nothing but the slots.
func parseClaim(name string) (h claim, err error) {
	limit, rest, ok := number(name)
	if !ok || rest == "" || rest[0] != '/' {
		return claim{}, errNoName
	}
	h.limit = limit
	for last := -2; rest != ""; {
		from, more, ok := number(rest[1:])
		if !ok || from < last+2 {
			return claim{}, errNoName // name would have written one range
		}
		rest, last = more, from
		if rest != "" && rest[0] == '-' {
			if last, rest, ok = number(rest[1:]); !ok || last <= from {
				return claim{}, errNoName
			}
		}
		if rest != "" && rest[0] != ',' || last-from+len(h.slots) >= mostSlots {
			return claim{}, errNoName
		}
		for ; from <= last; from++ {
			h.slots = append(h.slots, from)
		}
	}
	return h, nil
}

var errNoName = errors.New("it does not name slots")

// number reads decimal digits, without a sign or a leading zero.
func number(s string) (n int, rest string, ok bool) {
	i := 0
	for ; i < len(s) && '0' <= s[i] && s[i] <= '9'; i++ {
		if n = 10*n + int(s[i]-'0'); n > 100_000_000 {
			return 0, s, false
		}
	}
	return n, s[i:], i == 1 || i > 1 && s[0] != '0'
}
