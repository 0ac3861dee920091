package words

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"berth/cmd/text"
)

// Names that other programs have for what berth has.
var (
	otherFlags = map[string]string{
		"j": "slots", "jobs": "slots", "slot": "slots", "limit": "slots",
		"no-wait": "wait", "nowait": "wait", "nonblock": "wait",
	}
	doesNotWait   = map[string]bool{"no-wait": true, "nowait": true, "nonblock": true}
	otherCommands = map[string]string{"status": "ls", "list": "ls", "ps": "ls", "kill": "stop", "cancel": "stop"}
)

// meant is the flag that an unknown one seems to stand for, or nil: other programs call it
// so, or it differs by one letter, or it is the beginning of one name only.
func meant(typed string, known []Flag) *Flag {
	name := strings.TrimLeft(typed, "-")
	short := typed == "-"+name && name != "" // may have its value attached
	first, size := utf8.DecodeRuneInString(name)
	begins, several := (*Flag)(nil), false
	for i := range known {
		f := &known[i]
		for _, n := range f.long() {
			switch {
			case n == otherFlags[name], text.Near(name, n):
				return f
			case short && (n == otherFlags[name[:size]] || n == string(swapCase(first))):
				return f
			case len(name) > 2 && strings.HasPrefix(n, name):
				begins, several = f, begins != nil
			}
		}
	}
	if several {
		return nil
	}
	return begins
}

// isSlip reports whether a word of short flags differs by one letter from a long name with
// the same first letter: -pools, but not -pstore.
func isSlip(word string, known []Flag) bool {
	name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
	for _, f := range known {
		for _, n := range f.long() {
			if len(name) > 3 && name[0] == n[0] && text.Near(name, n) {
				return true
			}
		}
	}
	return false
}

// CommandMeant is the command that an unknown name seems to stand for; "" for none.
func CommandMeant(typed string, known []string) string {
	if c, ok := otherCommands[typed]; ok {
		return c
	}
	for _, n := range known {
		if text.Near(typed, n) {
			return n
		}
	}
	for other, n := range otherCommands {
		if text.Near(typed, other) {
			return n
		}
	}
	return ""
}

func swapCase(r rune) rune {
	if unicode.IsUpper(r) {
		return unicode.ToLower(r)
	}
	return unicode.ToUpper(r)
}
