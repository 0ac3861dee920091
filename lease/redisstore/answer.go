package redisstore

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"berth/lease"
	"berth/lease/clock"
)

func micros(d time.Duration) string { return strconv.FormatInt(d.Microseconds(), 10) }

func instant(i clock.Instant) string { return micros(time.Duration(i)) }

// answer is what a script returned.
type answer []any

func (a answer) text(i int) string {
	if i < len(a) {
		if s, ok := a[i].(string); ok {
			return s
		}
	}
	return ""
}

func (a answer) number(i int) int {
	if i < len(a) {
		if n, ok := a[i].(int64); ok {
			return int(n)
		}
	}
	n, _ := strconv.Atoi(a.text(i))
	return n
}

func (a answer) list(i int) []any {
	if i < len(a) {
		l, _ := a[i].([]any)
		return l
	}
	return nil
}

func (a answer) micros(i int) time.Duration { return parseMicros(a.text(i)) }

func (a answer) instant(i int) clock.Instant { return parseInstant(a.text(i)) }

func parseInstant(s string) clock.Instant { return clock.Instant(parseMicros(s)) }

func parseMicros(s string) time.Duration {
	n, _ := strconv.ParseInt(s, 10, 64)
	return time.Duration(n) * time.Microsecond
}

// Every step that wants slots returns these, in this order.
const (
	atReason = iota
	atNow
	atRun
	atUsed
	atRequested
	atAhead
	atRecovering
	atOwn
	atLast
	atBuckets
	atGrant
	atSoonest
	atStop
	atNames
)

// starts reads what a pool remembers of its starts.
func (s *Store) starts(last, buckets string) lease.Starts {
	st := lease.Starts{Last: s.clock.local(parseInstant(last))}
	for b := range strings.SplitSeq(buckets, ";") {
		f := strings.Fields(b)
		if len(f) != 4 {
			continue
		}
		every, _ := strconv.ParseInt(f[0], 10, 64)
		burst, _ := strconv.Atoi(f[1])
		st.Buckets = append(st.Buckets, lease.Bucket{
			Pace: lease.Pace{Every: time.Duration(every), Burst: burst},
			Next: s.clock.local(parseInstant(f[2])), LastUse: s.clock.local(parseInstant(f[3])),
		})
	}
	return st
}

// verdict translates an answer. lease.Decide, from the same state, adds the numbers; the
// reason is what the server has decided.
func (s *Store) verdict(a answer, r lease.Request, c lease.Clearance) lease.Verdict {
	v := lease.Decide(lease.PoolState{
		Own: settings(a.text(atOwn)), Used: a.number(atUsed), RequestedLimit: a.number(atRequested), Ahead: a.number(atAhead),
		Starts: s.starts(a.text(atLast), a.text(atBuckets)), Clock: s.clock.local(a.instant(atNow)), RecoveringFor: a.micros(atRecovering),
	}, r, c)
	v.Reason = lease.Reason(a.text(atReason))
	return v
}

func settings(text string) lease.Settings {
	s := lease.Settings{UID: -1}
	if text != "" && json.Unmarshal([]byte(text), &s) != nil {
		return lease.Settings{UID: -1, Limit: new(int)} // as held.lua has it: no job starts
	}
	return s
}
