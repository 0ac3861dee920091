package view

import (
	"fmt"
	"strings"
	"time"

	"berth/cmd/text"
	"berth/lease"
	"berth/lease/clock"
)

// WaitingLine tells why a request waits: place, slots in use, the longest holder.
func WaitingLine(p *lease.Pool, err error, r lease.Request, waited time.Duration, now clock.Instant) phrases {
	msg := phrases{
		{forms: []string{"waiting " + text.Duration(waited)}},
		{forms: []string{" for pool " + r.Pool, ""}, rank: 4},
	}
	if held := r.Before(); len(held) > 0 {
		msg = append(msg, phrase{forms: []string{", with a lease of " + strings.Join(poolsOf(held), " and "), ""}, rank: 4})
	}
	if err != nil {
		return msg.and(fmt.Sprintf(": %v", err))
	}
	if p.LockHeldBy != "" {
		return msg.and(": " + p.LockHeldBy)
	}
	if p.Place > 0 {
		msg = append(msg, phrase{forms: []string{
			fmt.Sprintf(", place %d of %d", p.Place, p.Line), fmt.Sprintf(", place %d", p.Place), "",
		}, rank: 2})
	}
	v := verdict(p, r, 0, now)
	if v.Reason == lease.Drained {
		return append(msg, drainedPhrases(v, p.Own)...)
	}
	if v.Reason == lease.Paced || v.Reason == lease.Gated || v.Reason == lease.Recovering { // the slots are not what is waited for
		return msg.and(", " + v.String())
	}
	if why := WhyOfHead(p, now); why != "" && v.Reason == lease.Ready {
		return msg.and(", the first waits for " + why)
	}
	use := fmt.Sprintf(", %d of %d", p.Used, v.Limit)
	msg = append(msg, phrase{forms: []string{use + " in use", use}, rank: 1})
	if own := p.Own; own.Reason != "" && own.Limit != nil && *own.Limit == v.Limit {
		said := text.Shorten(own.Reason, reasonColumns)
		msg = append(msg.and(" ("), phrase{forms: []string{said}, elastic: true}).and(")")
	}
	if f := p.First; f != nil && v.Reason == lease.Ready {
		return msg.and(fmt.Sprintf(", behind pid %d on %s, which %s", f.Ticket.Owner.PID, f.Ticket.Owner.Host, f.Note))
	}
	if h := Longest(p); h != nil {
		msg = append(msg, longestPhrases(p, h)...)
	}
	return msg
}

func poolsOf(ids []string) (names []string) {
	for _, id := range ids {
		name, _ := lease.PoolOf(id)
		names = append(names, name)
	}
	return names
}

func drainedPhrases(v lease.Verdict, own lease.Settings) phrases {
	out := phrases{{forms: []string{", " + v.String(), ", limit 0"}, rank: 3}}
	by := SetBy(lease.Settings{SetBy: own.SetBy, SetAt: own.SetAt})
	if own.Reason == "" || by == "" {
		return out.and(Drained(own))
	}
	return append(out, phrase{forms: []string{": " + text.Shorten(own.Reason, reasonColumns)}, elastic: true}, phrase{forms: []string{" (" + by + ")", ""}, rank: 5})
}

// longestPhrases name the longest holder and say if it is stopped. Its pid goes last.
func longestPhrases(p *lease.Pool, h *lease.Entry) phrases {
	pid := fmt.Sprintf(", held longest by pid %d", describedPID(h.Lease))
	out := phrases{{forms: []string{", held longest by " + Describe(h.Lease), pid + " (" + text.Since(h.Lease.Since) + ")", pid}, rank: 3}}
	long, short := StalledNotes(p, h)
	return append(out, phrase{forms: []string{long, short}, rank: 5})
}

// WatchingLine tells why a condition of a pool is waited for: slots in use, the longest holder.
func WatchingLine(p *lease.Pool, err error, pool, condition string, waited time.Duration) phrases {
	msg := phrases{{forms: []string{"waiting " + text.Duration(waited)}}, {forms: []string{" for pool " + pool, ""}, rank: 4}}.and(" " + condition)
	switch {
	case err != nil:
		return msg.and(fmt.Sprintf(": %v", err))
	case p.LockHeldBy != "":
		return msg.and(": " + p.LockHeldBy)
	}
	msg = msg.and(fmt.Sprintf(", %d in use", p.Used))
	if h := Longest(p); h != nil {
		msg = append(msg, longestPhrases(p, h)...)
	}
	return msg
}
