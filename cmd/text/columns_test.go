package text

import "testing"

func TestShorten(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"abcd", 1, "…"}, {"abcd", 0, ""}, {"", 0, ""}, {"abcd", -1, ""},
		{"測試測", 6, "測試測"}, {"測試測", 5, "測試…"}, {"測試測", 4, "測…"}, {"測試測", 3, "測…"}, {"測", 1, "…"},
		{"e\u0301e\u0301", 2, "e\u0301e\u0301"}, {"e\u0301e\u0301e\u0301", 2, "e\u0301…"}, {"éé", 2, "éé"},
	} {
		if got := Shorten(c.in, c.n); got != c.want {
			t.Errorf("%q in %d columns: %q, want %q", c.in, c.n, got, c.want)
		}
	}
}
