// Package text makes text fit for people: escaped, cut to the columns of a terminal,
// quoted for a shell.
package text

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// All that comes from elsewhere goes through this file before it is shown: names,
// commands, labels and whole records are written by whoever may write to the store,
// and a terminal obeys what it is sent.

// OneLine makes text from elsewhere safe for a terminal and a log. What ends a line
// or a word becomes a blank; what else would not be seen, moves the cursor, or has
// the text around it shown in another order becomes visible.
func OneLine(s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			b.WriteByte(' ')
		case r == utf8.RuneError && n == 1, r < utf8.RuneSelf && Unseen(r):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case Unseen(r) && r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		case Unseen(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		i += n
	}
	return b.String()
}

// plain is quick for what nearly all text is.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// Unseen reports whether a character is no mark on the screen. It asks for what is
// known to be one, and not for a list of evil ones: that would be complete until the
// next version of Unicode. Variation selectors and fillers count as letters and marks
// there, and are as invisible.
func Unseen(r rune) bool {
	if r < 0x7f {
		return r < ' '
	}
	return !unicode.IsGraphic(r) || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// WriteJSON writes v as one line. encoding/json leaves DEL, the second set of control
// characters, and those that change the order of text as they are.
func WriteJSON(w io.Writer, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(escapeJSON(b.Bytes()))
	return err
}

// escapeJSON escapes what is not seen. Outside of its strings JSON is ASCII.
func escapeJSON(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for _, r := range string(text) {
		switch {
		case r == '\n' || !Unseen(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}
