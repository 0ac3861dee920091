package text

import (
	"fmt"
	"slices"
	"strings"
)

// Quoted are words as a shell reads them.
func Quoted(words []string) []string {
	out := slices.Clone(words)
	for i, w := range out {
		if w == "" || strings.Trim(w, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,%@") != "" {
			out[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return out
}

func CommandLine(argv []string) string { return OneLine(strings.Join(argv, " ")) }

func Plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// Labels are labels as they are typed, in order and safe to show.
func Labels(m map[string]string) []string {
	var out []string
	for k, v := range m {
		out = append(out, OneLine(k+"="+v))
	}
	slices.Sort(out)
	return out
}
