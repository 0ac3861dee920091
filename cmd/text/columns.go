package text

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// Shorten cuts s to n columns of a terminal.
func Shorten(s string, n int) string {
	switch {
	case len(s) <= n: // no character has more columns than bytes
		return s
	case n < 1:
		return ""
	}
	used, keep := 0, 0 // keep: what fits beside the mark of the cut
	for i, r := range s {
		if used <= n-1 {
			keep = i
		}
		if used += runeColumns(r); used > n {
			return s[:keep] + "…"
		}
	}
	return s
}

// Columns is how many columns of a terminal s takes.
func Columns(s string) int {
	n := 0
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

// runeColumns is 2 for the wide characters of East Asia and for emoji, 0 for combining marks.
// Terminals may differ on the newest characters.
func runeColumns(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

func PadRight(s string, n int) string { return s + strings.Repeat(" ", max(0, n-Columns(s))) }

func PadLeft(s string, n int) string { return strings.Repeat(" ", max(0, n-Columns(s))) + s }

// ShortenMiddle cuts the middle out of s, down to n columns. Labels mostly differ at their end,
// and tell what they are at their beginning.
func ShortenMiddle(s string, n int) string {
	if Columns(s) <= n || n < 3 {
		return Shorten(s, n)
	}
	front := Shorten(s, n/3+1) // ends with the mark
	room, from := n-Columns(front), len(s)
	for from > 0 {
		r, size := utf8.DecodeLastRuneInString(s[:from])
		if room -= runeColumns(r); room < 0 {
			break
		}
		from -= size
	}
	return front + s[from:]
}

// Wrapped breaks text at the last blank that fits, or within a word that is wider than a
// line. Only the blanks at the breaks are dropped.
func Wrapped(text string, columns int) []string {
	if columns < 2 { // not even a wide character
		return []string{Shorten(text, columns)}
	}
	var lines []string
	for Columns(text) > columns {
		end, used, blank := 0, 0, -1
		for i, r := range text {
			if used += runeColumns(r); used > columns {
				end = i
				if r == ' ' {
					blank = i
				}
				break
			}
			if r == ' ' {
				blank = i
			}
		}
		if blank > 0 {
			end = blank
		}
		lines = append(lines, strings.TrimRight(text[:end], " "))
		text = strings.TrimLeft(text[end:], " ")
	}
	return append(lines, text)
}
