package view

import (
	"encoding/json"
	"strings"
	"unicode"
)

// Essence is the part of pools that changes only when something happens: no times, no use of
// CPU and memory, no numbers in the reason of a wait.
func Essence(pools []Pool) string {
	var b strings.Builder
	for _, p := range pools {
		p.Holders, p.Waiters = append([]Holder{}, p.Holders...), append([]Waiter{}, p.Waiters...)
		for i := range p.Holders {
			h := &p.Holders[i]
			h.Held, h.HeartbeatAge, h.KeepaliveAge, h.CPU, h.RSS, h.Procs = nil, nil, nil, nil, nil, nil
			h.Note = noDigits(h.Note)
		}
		for i := range p.Waiters {
			w := &p.Waiters[i]
			w.Waited, w.For = 0, noDigits(w.For)
		}
		text, _ := json.Marshal(p)
		b.Write(text)
		if p.unread {
			b.WriteString("unread")
		}
		if p.Missing {
			b.WriteString("missing")
		}
	}
	return "seen " + b.String()
}

func noDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) || r == '.' {
			return -1
		}
		return r
	}, s)
}
