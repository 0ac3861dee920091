package view

import (
	"fmt"
	"strings"

	"berth/cmd/text"
	"berth/lease"
)

// reasonColumns bounds a reason, in columns.
const reasonColumns = 200

// SetBy says who has set a pool's settings, when and why. It is "" for settings of an older
// berth, which did not record that.
func SetBy(own lease.Settings) string {
	if own.SetBy == "" || own.SetAt.IsZero() {
		return ""
	}
	s := fmt.Sprintf("set by %s %s ago", text.Shorten(text.OneLine(own.SetBy), reasonColumns), text.Since(own.SetAt))
	if own.Reason != "" {
		s += ": " + text.Shorten(text.OneLine(own.Reason), reasonColumns)
	}
	return s
}

// Drained says who has drained a pool, "" if that is unknown or it is not drained.
func Drained(own lease.Settings) string {
	if by := SetBy(own); by != "" && own.Limit != nil && *own.Limit == 0 {
		return ", " + by
	}
	return ""
}

// ownWords say why a pool has its limit, and who has set it, if it is drained or has a reason.
func ownWords(v *Pool) string {
	own := lease.Settings{Limit: v.OwnLimit}
	if v.OwnSetAt != nil { // and so the others
		own.SetBy, own.SetAt = *v.OwnSetBy, *v.OwnSetAt
	}
	if v.OwnReason != nil {
		own.Reason = *v.OwnReason
	}
	by := SetBy(lease.Settings{SetBy: own.SetBy, SetAt: own.SetAt})
	switch {
	case by != "" && own.Reason != "":
		return fmt.Sprintf("reason: %s (%s)", text.Shorten(text.OneLine(own.Reason), reasonColumns), by)
	case Drained(own) != "":
		return "its limit was " + by
	}
	return ""
}

// LimitLines are settings as they would be typed. For a person a comment adds who has set
// them.
func LimitLines(own lease.Settings, flags []string, person bool) []string {
	words := "none"
	if own.Limit != nil {
		words = fmt.Sprint(*own.Limit)
	}
	if len(own.Names) > 0 {
		flags = append([]string{"--names", text.OneLine(strings.Join(own.Names, ","))}, flags...)
	}
	if own.Reason != "" {
		flags = append(flags, "--reason", text.OneLine(own.Reason))
	}
	lines := append([]string{words}, pairs(text.Quoted(flags))...)
	if by := SetBy(own); by != "" && person {
		lines = append(lines, "# "+by)
	}
	return lines
}
