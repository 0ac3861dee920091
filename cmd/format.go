package cmd

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// Small pieces of what is shown. None of them escapes: see oneLine.

// shorten cuts s to n columns of a terminal.
func shorten(s string, n int) string {
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

// columnsOf is how many columns of a terminal s takes.
func columnsOf(s string) int {
	n := 0
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

// runeColumns is 2 for the wide characters of East Asia and for pictures, 0 for marks
// on the letter before them. A terminal may think otherwise of the newest ones.
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

func padRight(s string, n int) string { return s + strings.Repeat(" ", max(0, n-columnsOf(s))) }
func padLeft(s string, n int) string  { return strings.Repeat(" ", max(0, n-columnsOf(s))) + s }

// middle cuts s to n columns in the middle: what tells labels apart is mostly at their
// end, and what they are at their beginning.
func middle(s string, n int) string {
	if columnsOf(s) <= n || n < 3 {
		return shorten(s, n)
	}
	front := shorten(s, n/3+1) // ends with the mark
	room, from := n-columnsOf(front), len(s)
	for from > 0 {
		r, size := utf8.DecodeLastRuneInString(s[:from])
		if room -= runeColumns(r); room < 0 {
			break
		}
		from -= size
	}
	return front + s[from:]
}

// wrapped breaks text at the last blank that fits, and where a word is wider than all
// there is within it. Nothing is left out but the blanks where it breaks.
func wrapped(text string, columns int) []string {
	if columns < 2 { // not even a wide character
		return []string{shorten(text, columns)}
	}
	var lines []string
	for columnsOf(text) > columns {
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

// pairs joins each flag and its value.
func pairs(flags []string) []string {
	var out []string
	for f := range slices.Chunk(flags, 2) {
		out = append(out, oneLine(strings.Join(f, " ")))
	}
	return out
}

func labelList(m map[string]string) []string {
	var out []string
	for k, v := range m {
		out = append(out, oneLine(k+"="+v))
	}
	slices.Sort(out)
	return out
}

// slotList prints 0,1,2,5 as 0-2,5.
func slotList(slots []int) string {
	var parts []string
	for i := 0; i < len(slots); {
		j := i
		for j+1 < len(slots) && slots[j+1] == slots[j]+1 {
			j++
		}
		part := strconv.Itoa(slots[i])
		if j > i {
			part += "-" + strconv.Itoa(slots[j])
		}
		parts = append(parts, part)
		i = j + 1
	}
	return strings.Join(parts, ",")
}

func orDash(s *float64) string {
	if s == nil {
		return "-"
	}
	return short(seconds(*s))
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
