package cmd

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"berth/lease"
)

// maxReason bounds what is said to everybody who is refused, in one line.
const maxReason = 200

func parseReason(s string) (string, error) {
	said := strings.Join(strings.Fields(s), " ")
	switch {
	case !utf8.ValidString(s):
		return "", fmt.Errorf("%q is not UTF-8", s)
	case said == "":
		return "", errors.New("the reason is empty; another limit ends a reason, and --clear removes it with the rest")
	case len(said) > maxReason:
		return "", fmt.Errorf("a reason of %d bytes is too long (at most %d)", len(said), maxReason)
	}
	return said, nil
}

// me is who types, for others to read.
func me() string { return nameOf(os.Getuid()) + "@" + here() }

// setBy says who has set a pool's settings, when and why; "" if nobody knows, as of
// those that an older berth has set.
func setBy(own lease.Settings) string {
	if own.SetBy == "" || own.SetAt.IsZero() {
		return ""
	}
	s := fmt.Sprintf("set by %s %s ago", shorten(oneLine(own.SetBy), maxReason), ago(own.SetAt))
	if own.Reason != "" {
		s += ": " + shorten(oneLine(own.Reason), maxReason)
	}
	return s
}

// drained says of a pool in which nobody new starts what is known of that.
func drained(own lease.Settings) string {
	if by := setBy(own); by != "" && own.Limit != nil && *own.Limit == 0 {
		return ", " + by
	}
	return ""
}

// ownWords say it of a pool that is drained, or has a reason: first why.
func ownWords(v *poolJSON) string {
	own := lease.Settings{Limit: v.OwnLimit}
	if v.OwnSetAt != nil { // and so the others
		own.SetBy, own.SetAt = *v.OwnSetBy, *v.OwnSetAt
	}
	if v.OwnReason != nil {
		own.Reason = *v.OwnReason
	}
	by := setBy(lease.Settings{SetBy: own.SetBy, SetAt: own.SetAt})
	switch {
	case by != "" && own.Reason != "":
		return fmt.Sprintf("reason: %s (%s)", shorten(oneLine(own.Reason), maxReason), by)
	case drained(own) != "":
		return "its limit was " + by
	}
	return ""
}

// noted are settings as they are now changed, from that limit: by us, and with that
// reason. Who adds a gate to a pool that somebody has drained, or drains it once more,
// has not drained it.
func noted(own lease.Settings, was *int, reason string) lease.Settings {
	same := was == nil && own.Limit == nil || was != nil && own.Limit != nil && *was == *own.Limit
	if reason != "" || !same || own.Limit == nil && own.Reason == "" {
		own.SetBy, own.SetAt, own.Reason = me(), time.Now(), reason
	}
	return own
}
