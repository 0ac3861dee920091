package manual

import "testing"

func TestEscape(t *testing.T) {
	for line, want := range map[string]string{
		".PP is text":      `\&.PP is text`,
		"'quoted' --flag":  `\(aqquoted\(aq \-\-flag`,
		`printf '\n' ~ ^ `: `printf \(aq\en\(aq \(ti \(ha `,
		"plain text, 100%": "plain text, 100%",
	} {
		if got := escape(line); got != want {
			t.Errorf("escape(%q) = %q, want %q", line, got, want)
		}
	}
}
