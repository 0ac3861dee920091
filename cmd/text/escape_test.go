package text

import "testing"

func TestOneLine(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"make test", "make test"},
		{"größe 測試 e\u0301", "größe 測試 e\u0301"},
		{"a\nb\tc\rd", "a b c d"},
		{"\x1b]0;PWNED\a", `\x1b]0;PWNED\x07`},
		{"\u009b31m\x7f\x00", `\u009b31m\x7f\x00`},
		{"a\u202ecod\u202c\u2066x\u2069\u200e\u200f\u061c", `a\u202ecod\u202c\u2066x\u2069\u200e\u200f\u061c`},
		{"a\u2028b\u2029c", `a\u2028b\u2029c`},
		{"a\u200bb\u200dc\ufeffd\u00ade\u2060", `a\u200bb\u200dc\ufeffd\u00ade\u2060`},
		{"\ue000\U000e0041\U0010ffff", `\ue000\U000e0041\U0010ffff`},
		{"fe\ufe0f \u3164 \U000e0100", `fe\ufe0f \u3164 \U000e0100`},
		{"\xff\xc0a\xed\xa0\x80", `\xff\xc0a\xed\xa0\x80`},
		{"\ufffd", "\ufffd"},
	} {
		if got := OneLine(c.in); got != c.want {
			t.Errorf("%q is shown as %q, want %q", c.in, got, c.want)
		}
	}
}
