package view

import (
	"slices"
	"strconv"
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

func size(n uint64) string {
	for _, u := range []string{"B", "K", "M", "G"} {
		if n < 1024*10 || u == "G" {
			return strconv.FormatUint(n, 10) + u
		}
		n /= 1024
	}
	return ""
}
