// Package text makes text fit to be shown: it escapes it, cuts it to the columns of a terminal
// and quotes it for a shell.
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

// Names, commands, labels and whole records are written by anyone who may write to the store,
// and a terminal obeys what it is sent. So all of it goes through this file before it is shown.

// OneLine makes foreign text safe for a terminal and a log. Line ends and tabs become blanks;
// invisible characters, and those that move the cursor or change the order of the text, are
// shown as escapes.
func OneLine(s string) string {
	if isPlain(s) {
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

// isPlain is the fast path: nearly all text is plain.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// Unseen reports whether a character is invisible on a screen. It looks for characters that are
// known to be visible, because a list of bad ones would be complete only until the next version
// of Unicode. Variation selectors and fillers are letters and marks to Unicode, but invisible.
func Unseen(r rune) bool {
	if r < 0x7f {
		return r < ' '
	}
	return !unicode.IsGraphic(r) || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// WriteJSON writes v as one line. It escapes what encoding/json leaves as it is: DEL, the C1
// control characters, and those that change the order of text.
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

// escapeJSON escapes invisible characters. Outside of its strings JSON is ASCII.
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
