package cmd

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"berth/cmd/view"
	"berth/lease"
)

func parseReason(s string) (string, error) {
	said := strings.Join(strings.Fields(s), " ")
	switch {
	case !utf8.ValidString(s):
		return "", fmt.Errorf("%q is not UTF-8", s)
	case said == "":
		return "", errors.New("the reason is empty; another limit ends a reason, and --clear removes it with the rest")
	case len(said) > view.MaxReason:
		return "", fmt.Errorf("a reason of %d bytes is too long (at most %d)", len(said), view.MaxReason)
	}
	return said, nil
}

// noted are settings as they are now changed, from that limit: by us, and with that
// reason. Who adds a gate to a pool that somebody has drained, or drains it once more,
// has not drained it.
func noted(own lease.Settings, was *int, reason string) lease.Settings {
	same := was == nil && own.Limit == nil || was != nil && own.Limit != nil && *was == *own.Limit
	if reason != "" || !same || own.Limit == nil && own.Reason == "" {
		own.SetBy, own.SetAt, own.Reason = view.Me(), time.Now(), reason
	}
	return own
}
