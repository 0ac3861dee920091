package view

import (
	"slices"
	"strings"
	"time"

	"berth/cmd/text"
)

// pairs joins each flag and its value.
func pairs(flags []string) []string {
	var out []string
	for f := range slices.Chunk(flags, 2) {
		out = append(out, text.OneLine(strings.Join(f, " ")))
	}
	return out
}

func orDash(s *float64) string {
	if s == nil {
		return "-"
	}
	return text.Duration(seconds(*s))
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
